import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText

/// Finds the text that a model falls for: windows in which a head of long memory takes a large time step, and so writes down, or
/// forgets by, what it should have passed over.
///
/// A model that must keep a key over a million bytes of real text fails by rare false writes, not by forgetting. Learning from the
/// windows that provoke them is what cured it (hard negatives). The result depends on model, text and settings alone.
package struct NegativeMiner {
  private let model: TrainableModel
  private let blocks: Blocks
  private let kernels: Kernels
  private let tokenizer: Tokenizer

  /// What counts as a find.
  package struct Settings: Sendable, Hashable {
    /// Bytes of a window.
    package var window = 192
    /// How many windows are kept, those with the largest time steps.
    package var count = 1024
    /// A head is one of long memory where half of the tokens leave more than 1 - 1/memory of its state, in tokens.
    package var memory = 10_000.0

    package init() {}
  }

  /// A window of a file, and how far above its usual time step a long memory went there.
  package struct Find: Sendable, Hashable {
    package var file: Int
    package var offset: Int
    package var score: Float
  }

  package init(_ model: TrainableModel, blocks: Blocks, kernels: Kernels, tokenizer: Tokenizer) {
    (self.model, self.blocks, self.kernels, self.tokenizer) = (model, blocks, kernels, tokenizer)
  }

  /// The model of a folder. Throws as loading it does.
  package init(_ files: ModelFiles, tokenizer: Tokenizer, table: KernelTable) throws {
    let configuration = try files.file("config.json")
    guard let configuration else { throw MeanderError(.notFound, "has no config.json", at: files.name) }
    let model = try TrainableModel(try JSON.parse(configuration), file: configuration.path, table: table)
    try model.parameters.read(try TensorStore.open(files))
    self.init(
      model, blocks: try model.blocks(), kernels: Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32),
      tokenizer: tokenizer)
  }

  /// Bytes that are read from one state of zeros.
  private static let stretch = 8192

  /// The windows with the highest scores among `ranges` of files, the highest first; equals by file and offset.
  ///
  /// Each stretch of 8 KiB is read from a state of zeros; its first window only serves to fill the state. Text that is held in
  /// gzip or zstd is not scanned. Throws `.unsupported` for a model without selective scans, whose time steps there are not.
  /// O(bytes), in memory for the scores of every window.
  package func find(_ settings: Settings, in files: [String], _ ranges: [(file: Int, bytes: Range<Int>)]) throws -> [Find] {
    let arena = Arena(reserving: 4 * model.tapeFloats(tokens: 1024, runs: 8, blocks))
    var scan = Scan()
    for (file, range) in ranges {
      let bytes = try FileBytes.mapping(files[file])
      var start = min(range.lowerBound, bytes.count)
      let end = min(range.upperBound, bytes.count)
      while start + 2 * settings.window <= end {
        let stop = min(start + Self.stretch, end)
        try read(bytes.copy(start..<stop), file: file, offset: start, settings.window, arena, &scan)
        start = stop
      }
    }
    return scan.finds(settings)
  }

  /// Reads one stretch and notes, window by window, the largest step of each head.
  private func read(_ bytes: [UInt8], file: Int, offset: Int, _ window: Int, _ arena: Arena, _ scan: inout Scan) throws {
    var encoder = tokenizer.makeEncoder()
    var pieces: [TokenPiece] = []
    encoder.push(bytes, into: &pieces)
    encoder.finish(into: &pieces)
    let windows = bytes.count / window
    let state = model.makeState()
    var rest = pieces[...]
    var first = scan.begin(file: file, offset: offset, window: window, windows: windows)
    first -= 1
    while !rest.isEmpty {
      let run = rest.prefix(512)
      rest = rest.dropFirst(run.count)
      arena.reset()
      var operations = Operations(kernels: kernels, arena: arena, form: .chunk)
      let watch = StepWatch()
      operations.stepObserver = watch
      _ = model.forward(run.map(\.id), blocks, state: state, operations)
      guard !watch.layers.isEmpty else {
        throw MeanderError(
          .unsupported, "the model has no selective scan, whose time steps would tell what it falls for",
          remedy: "Mine with a Mamba-2.")
      }
      for (row, piece) in run.enumerated() {
        let place = max(0, Int(piece.end) - 1) / window
        if place > 0, place < windows { scan.note(watch.layers, row: row, window: first + place) }
      }
    }
  }

  /// What was seen so far.
  private struct Scan {
    private var places: [(file: Int, offset: Int)] = []
    /// By window, the largest step of every head.
    private var peaks: [Float] = []
    private var rates: [Double] = []
    /// Every 16th token's steps, by head: what is usual.
    private var samples: [[Float]] = []
    private var tokens = 0

    /// Makes room for the windows of a stretch but for its first; returns where they begin.
    mutating func begin(file: Int, offset: Int, window: Int, windows: Int) -> Int {
      let first = places.count
      places += (1..<max(1, windows)).map { (file, offset + $0 * window) }
      peaks += Array(repeating: 0, count: (places.count - first) * rates.count)
      return first
    }

    mutating func note(_ layers: [StepWatch.Layer], row: Int, window: Int) {
      if rates.isEmpty {
        rates = layers.flatMap(\.rates)
        samples = Array(repeating: [], count: rates.count)
        peaks = Array(repeating: 0, count: places.count * rates.count)
      }
      var head = 0
      let isSampled = tokens % 16 == 0
      tokens += 1
      for layer in layers {
        let count = layer.rates.count
        for step in layer.steps[row * count..<(row + 1) * count] {
          let place = window * rates.count + head
          if step > peaks[place] { peaks[place] = step }
          if isSampled { samples[head].append(step) }
          head += 1
        }
      }
    }

    func finds(_ settings: Settings) -> [Find] {
      guard !rates.isEmpty else { return [] }
      let usual = samples.map { steps in steps.sorted()[steps.count / 2] }
      let decays = zip(usual, rates).map { Double($0) * abs($1) }
      var long = decays.indices.filter { decays[$0] < 1 / settings.memory }
      if long.isEmpty {
        // Nobody remembers for long yet: the quarter that remembers longest.
        long = Array(decays.indices.sorted { (decays[$0], $0) < (decays[$1], $1) }.prefix(max(1, decays.count / 4)))
      }
      let finds = places.enumerated().map { number, place in
        let score = long.map { peaks[number * rates.count + $0] / max(usual[$0], .leastNormalMagnitude) }.max() ?? 0
        return Find(file: place.file, offset: place.offset, score: score)
      }
      return Array(
        finds.sorted { (-$0.score, $0.file, $0.offset) < (-$1.score, $1.file, $1.offset) }.prefix(settings.count))
    }
  }
}
