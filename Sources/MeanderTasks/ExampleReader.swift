/// Reads an example out, its filler filled in, in pieces of bounded size.
///
/// All filler of an example is one run: the document that a needle interrupts goes on behind it. A stretch of filler
/// ends in a line break, so that what follows stands on a line of its own, and never in the middle of a scalar.
package struct ExampleReader {
  package enum Part: Sendable, Hashable {
    case text([UInt8])
    case echo([UInt8])
    case filler([UInt8])
    case answer([UInt8])

    package var bytes: [UInt8] {
      switch self {
      case .text(let bytes), .echo(let bytes), .filler(let bytes), .answer(let bytes): bytes
      }
    }
  }

  /// Where the filler came from, if that is known: what intervals are clustered by.
  package var document: String? { run.document }
  package var origin: FillerOrigin? { run.origin }

  private var left: [Example.Piece]
  private var run: any FillerRun
  private let closesLines: Bool
  private static let largest = 1 << 16

  /// - Parameter closesLines: false for filler that is not lines of text, which is left as it is.
  package init(_ example: Example, filler: any FillerRun, closesLines: Bool = true) {
    left = example.pieces.reversed()
    run = filler
    self.closesLines = closesLines
  }

  /// An example of `task`, its own filler taking the place of `filler` where it has one.
  package init(
    _ task: any RecallTask, filler: any Filler, count: Int, depth: Double? = nil, using generator: TaskGenerator
  ) throws {
    var generator = generator
    let run = try (task.filler ?? filler).run(generator.fork())
    self.init(
      try task.example(filler: count, depth: depth, using: &generator), filler: run, closesLines: task.filler == nil)
  }

  /// The next part; nil at the end. Filler comes in pieces of at most 64 KiB.
  package mutating func next() throws -> Part? {
    guard let piece = left.popLast() else { return nil }
    switch piece {
    case .text(let bytes): return .text(bytes)
    case .echo(let bytes): return .echo(bytes)
    case .answer(let bytes): return .answer(bytes)
    case .filler(let count):
      let taken = min(count, Self.largest)
      if count > taken { left.append(.filler(count - taken)) }
      var bytes = try run.next(taken)
      if count == taken, closesLines { Self.closeLine(&bytes) }
      return .filler(bytes)
    }
  }

  /// Puts a line break in place of the last byte, and spaces in place of what remains of a scalar before it.
  static func closeLine(_ bytes: inout [UInt8]) {
    guard let last = bytes.indices.last else { return }
    if bytes[last] != UInt8(ascii: "\n") {
      // The last scalar begins at most three bytes before the end.
      var start = last
      while start > 0, last - start < 3, bytes[start] & 0xC0 == 0x80 { start -= 1 }
      if bytes[start] >= 0x80 { for place in start..<last { bytes[place] = UInt8(ascii: " ") } }
    }
    bytes[last] = UInt8(ascii: "\n")
  }
}
