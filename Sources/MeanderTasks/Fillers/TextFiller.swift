import MeanderErrors
import MeanderFiles

/// Real text: a run begins at a random line of a random file, longer files being likelier, and goes on through the
/// files in their order, from the last to the first again.
///
/// Files are mapped while a run reads them and never held, so that a corpus of any size costs no memory.
package struct TextFiller: Filler {
  private struct File: Sendable {
    let path: String
    /// Where its bytes end when all files are laid one after the other.
    let end: Int
  }

  private let files: [File]

  /// How many bytes there are to draw from.
  package var byteCount: Int { files.last?.end ?? 0 }

  /// Takes the sizes of the files at and below `paths`. Throws `.notFound` where one is missing, and `.badData` where
  /// all are empty.
  package init(_ paths: [String]) throws {
    var files: [File] = []
    for path in try Folder.files(below: paths) {
      guard let status = FileStatus(path) else { continue }
      if status.size > 0 { files.append(File(path: path, end: (files.last?.end ?? 0) + Int(status.size))) }
    }
    guard !files.isEmpty else {
      throw MeanderError(.badData, "there is no text to take filler from", at: paths.first ?? "filler")
    }
    self.files = files
  }

  package func run(_ generator: TaskGenerator) throws -> any FillerRun {
    var generator = generator
    return try run(from: generator.below(byteCount))
  }

  package func run(_ generator: TaskGenerator, at share: Double) throws -> any FillerRun {
    try run(from: min(byteCount - 1, max(0, Int(share * Double(byteCount)))))
  }

  /// A run from the first line behind a byte of the corpus.
  private func run(from place: Int) throws -> Run {
    let file = files.partitioningIndex { $0.end > place }
    let offset = place - (file > 0 ? files[file - 1].end : 0)
    let bytes = try open(file)
    let start = Self.lineStart(in: bytes, from: offset)
    if start < bytes.count { return Run(filler: self, file: file, bytes: bytes, offset: start) }
    let next = (file + 1) % files.count
    return Run(filler: self, file: next, bytes: try open(next), offset: 0)
  }

  /// Where in the corpus the first line at or behind `offset` begins.
  package func lineStart(from offset: Int) throws -> Int {
    try run(from: min(byteCount - 1, max(0, offset))).origin?.offset ?? 0
  }

  /// Up to `count` bytes of the corpus from byte `offset` on; fewer at its end.
  package func bytes(from offset: Int, count: Int) throws -> [UInt8] {
    let end = min(byteCount, offset + count)
    guard (0..<byteCount).contains(offset), end > offset else { return [] }
    let file = files.partitioningIndex { $0.end > offset }
    let start = offset - (file > 0 ? files[file - 1].end : 0)
    var run = Run(filler: self, file: file, bytes: try open(file), offset: start)
    return try run.next(end - offset)
  }

  private func open(_ file: Int) throws -> FileBytes {
    let bytes = try FileBytes.mapping(files[file].path)
    guard bytes.count > 0 else {
      throw MeanderError(.badData, "the file became empty while it was read", at: files[file].path)
    }
    return bytes
  }

  /// Where the first line at or behind `offset` begins, the file's end for its last line; a scalar where no line begins
  /// within 4 KiB.
  private static func lineStart(in bytes: FileBytes, from offset: Int) -> Int {
    let offset = min(offset, bytes.count - 1)
    if offset == 0 { return 0 }
    let end = min(bytes.count, offset + 4096)
    if let newline = (offset - 1..<end).first(where: { bytes[$0] == UInt8(ascii: "\n") }) { return newline + 1 }
    return (offset..<end).first { bytes[$0] & 0xC0 != 0x80 } ?? offset
  }

  private struct Run: FillerRun {
    let filler: TextFiller
    var file: Int
    var bytes: FileBytes
    var offset: Int
    let origin: FillerOrigin?

    init(filler: TextFiller, file: Int, bytes: FileBytes, offset: Int) {
      self.filler = filler
      self.file = file
      self.bytes = bytes
      self.offset = offset
      let start = file > 0 ? filler.files[file - 1].end : 0
      origin = FillerOrigin(
        document: bytes.path, documentBytes: bytes.count, offset: start + offset, corpusBytes: filler.byteCount)
    }

    var document: String? { origin?.document }

    mutating func next(_ count: Int) throws -> [UInt8] {
      var text: [UInt8] = []
      text.reserveCapacity(count)
      while text.count < count {
        if offset == bytes.count {
          file = (file + 1) % filler.files.count
          bytes = try filler.open(file)
          offset = 0
        }
        let end = min(bytes.count, offset + count - text.count)
        text += bytes.copy(offset..<end)
        offset = end
      }
      return text
    }
  }
}

extension Array {
  /// The first place from which on `holds` is true, which it must be for all elements behind one for which it is.
  /// O(log n).
  func partitioningIndex(where holds: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if holds(self[middle]) { high = middle } else { low = middle + 1 }
    }
    return low
  }
}

/// Pieces of text that a model fell for, as a miner wrote them: a file of snippets with a zero byte behind each.
///
/// A run is one snippet after the other, drawn by the place of a random byte: longer snippets are likelier.
package struct SnippetFiller: Filler {
  private let bytes: FileBytes
  private static let longest = 1 << 16

  /// Throws `.badData` where the file holds no text.
  package init(_ path: String) throws {
    bytes = try FileBytes.mapping(path)
    guard (0..<bytes.count).contains(where: { bytes[$0] != 0 }) else {
      throw MeanderError(.badData, "the file holds no snippets", at: path, remedy: "Snippets end in a zero byte each.")
    }
  }

  package func run(_ generator: TaskGenerator) -> any FillerRun { Run(bytes: bytes, generator: generator) }

  private struct Run: FillerRun {
    let bytes: FileBytes
    var generator: TaskGenerator
    var pending = PendingBytes()

    mutating func next(_ count: Int) -> [UInt8] {
      while pending.count < count {
        let snippet = draw()
        pending.append(snippet)
        if !snippet.isEmpty, snippet.last != UInt8(ascii: "\n") { pending.append([UInt8(ascii: "\n")]) }
      }
      return pending.take(count)
    }

    private mutating func draw() -> [UInt8] {
      let place = generator.below(bytes.count)
      var start = place
      while start > 0, place - start < longest, bytes[start - 1] != 0 { start -= 1 }
      var end = place
      while end < bytes.count, end - start < longest, bytes[end] != 0 { end += 1 }
      return bytes.copy(start..<end)
    }
  }
}
