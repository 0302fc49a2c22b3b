import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderTasks
import Synchronization

/// Filler of the windows that the model in training falls for, mined anew every so many steps; before the first time, any windows.
///
/// Options, inside `negatives`: `paths`, the text; `every`, steps from one mining to the next; `bytes`, how much text each reads;
/// `window`, `count` and `memory` of `NegativeMiner.Settings`.
final class MinedFiller: Filler {
  private struct File: Sendable {
    let path: String
    /// Where its bytes end when all files are laid one after the other.
    let end: Int
  }

  private let files: [File]
  private let text: TextFiller
  private let settings: NegativeMiner.Settings
  private let every: Int
  private let bytes: Int
  private let seed: UInt64
  private let mined = Mutex<[(file: Int, offset: Int)]>([])

  init(_ options: inout Configuration, _ context: SourceContext) throws {
    let paths = try options.strings("paths").map { TaskFillers.path($0, in: context.folder) }
    every = try options.integer("every", 500, in: 1...1 << 40)
    bytes = try options.integer("bytes", 1 << 20, in: 1 << 14...1 << 32)
    var settings = NegativeMiner.Settings()
    settings.window = try options.integer("window", settings.window, in: 16...2048)
    settings.count = try options.integer("count", settings.count, in: 1...1 << 16)
    settings.memory = try options.float("memory", settings.memory, in: 1...1e12)
    self.settings = settings
    text = try TextFiller(paths)
    seed = context.seed
    var files: [File] = []
    for path in try Folder.files(below: paths) {
      let size = Int(FileStatus(path)?.size ?? 0)
      if size > 0 { files.append(File(path: path, end: (files.last?.end ?? 0) + size)) }
    }
    self.files = files
  }

  /// Mines where `step` is a multiple of `every` that is not 0. The text read each time begins where seed and step say.
  func prepare(step: Int, _ miner: NegativeMiner) throws {
    guard step > 0, step % every == 0 else { return }
    let total = files.last?.end ?? 0
    var place = Int(SplitMix64.mixed(seed &+ UInt64(step)) % UInt64(total))
    var left = min(bytes, total)
    var ranges: [(file: Int, bytes: Range<Int>)] = []
    while left > 0 {
      let file = files.firstIndex { $0.end > place } ?? 0
      let start = place - (file > 0 ? files[file - 1].end : 0)
      let count = min(left, files[file].end - place)
      ranges.append((file, start..<start + count))
      place = files[file].end % total
      left -= count
    }
    let finds = try miner.find(settings, in: files.map(\.path), ranges)
    if !finds.isEmpty { mined.withLock { $0 = finds.map { ($0.file, $0.offset) } } }
  }

  func run(_ generator: TaskGenerator) throws -> any FillerRun {
    let places = mined.withLock { $0 }
    if places.isEmpty { return try text.run(generator) }
    return Run(files: files.map(\.path), places: places, window: settings.window, generator: generator)
  }

  private struct Run: FillerRun {
    let files: [String]
    let places: [(file: Int, offset: Int)]
    let window: Int
    var generator: TaskGenerator
    private var pending: [UInt8] = []

    init(files: [String], places: [(file: Int, offset: Int)], window: Int, generator: TaskGenerator) {
      (self.files, self.places, self.window, self.generator) = (files, places, window, generator)
    }

    mutating func next(_ count: Int) throws -> [UInt8] {
      while pending.count < count {
        let place = generator.pick(places)
        let bytes = try FileBytes.mapping(files[place.file])
        let end = min(bytes.count, place.offset + window)
        guard place.offset < end else {
          throw MeanderError(
            .badData, "the file is shorter than it was when it was mined", at: files[place.file],
            remedy: "Give the run the text back that it began with.")
        }
        pending += bytes.copy(place.offset..<end) + [UInt8(ascii: "\n")]
      }
      defer { pending.removeFirst(count) }
      return Array(pending.prefix(count))
    }
  }

  /// Where the mined windows stand: file and offset in turn.
  var position: JSON { .array(mined.withLock { $0 }.flatMap { [JSON($0.file), JSON($0.offset)] }) }

  func restore(_ position: JSON) throws {
    guard let numbers = position.array?.compactMap(\.integer), numbers.count % 2 == 0,
      stride(from: 0, to: numbers.count, by: 2).allSatisfy({ files.indices.contains(numbers[$0]) && numbers[$0 + 1] >= 0 })
    else { throw MeanderError(.mismatch, "the mined windows do not belong to this text", at: "task") }
    mined.withLock { places in
      places = stride(from: 0, to: numbers.count, by: 2).map { (numbers[$0], numbers[$0 + 1]) }
    }
  }
}
