/// What stands between the needles: endless text.
package protocol Filler: Sendable {
  /// A run of filler, to be read piece by piece; what it holds depends on the generator alone, not on the pieces.
  func run(_ generator: TaskGenerator) throws -> any FillerRun

  /// The same, begun at `share` of all there is to draw from, 0 at its beginning: how runs are spread over a text that
  /// is used up by them. Fillers that have no end leave it aside.
  func run(_ generator: TaskGenerator, at share: Double) throws -> any FillerRun
}

extension Filler {
  package func run(_ generator: TaskGenerator, at share: Double) throws -> any FillerRun { try run(generator) }
}

/// Where in a corpus a run begins.
package struct FillerOrigin: Sendable, Hashable {
  /// The file that it begins in.
  package let document: String
  package let documentBytes: Int
  /// How many bytes lie before it when all files are laid one after the other.
  package let offset: Int
  package let corpusBytes: Int

  package init(document: String, documentBytes: Int, offset: Int, corpusBytes: Int) {
    self.document = document
    self.documentBytes = documentBytes
    self.offset = offset
    self.corpusBytes = corpusBytes
  }
}

/// One run of filler.
package protocol FillerRun {
  /// The next `count` bytes, exactly.
  mutating func next(_ count: Int) throws -> [UInt8]

  /// What the bytes come from, where samples from one place would not be independent of each other: a file's path.
  var document: String? { get }

  /// Where the run begins, if that is a place in a corpus.
  var origin: FillerOrigin? { get }
}

extension FillerRun {
  package var document: String? { nil }
  package var origin: FillerOrigin? { nil }
}

/// One text again and again, from its beginning: the classic sentences, line breaks, or one symbol.
package struct RepeatedFiller: Filler {
  private let text: [UInt8]

  /// `text` must not be empty.
  package init(_ text: [UInt8]) {
    precondition(!text.isEmpty, "filler without text")
    self.text = text
  }

  package static let classic = RepeatedFiller(Array(Passkey.classicFiller.utf8))
  package static let newlines = RepeatedFiller([UInt8(ascii: "\n")])

  package func run(_ generator: TaskGenerator) -> any FillerRun { Run(text: text) }

  private struct Run: FillerRun {
    let text: [UInt8]
    var place = 0

    mutating func next(_ count: Int) -> [UInt8] {
      defer { place = (place + count) % text.count }
      return (0..<count).map { text[(place + $0) % text.count] }
    }
  }
}

/// Filler that is made bit by bit from random numbers.
package struct DrawnFiller: Filler {
  private let draw: @Sendable (inout TaskGenerator) -> [UInt8]

  /// - Parameter draw: some more text, at least a byte.
  package init(_ draw: @escaping @Sendable (inout TaskGenerator) -> [UInt8]) { self.draw = draw }

  /// Words of a list of ours in lines of about seventy bytes, without grammar.
  package static let words = DrawnFiller { generator in
    var line = ""
    while line.utf8.count < 64 { line += (line.isEmpty ? "" : " ") + generator.pick(Words.all) }
    return Array((line + ".\n").utf8)
  }

  /// Symbols of `alphabet`, each as likely as the others.
  package static func symbols(_ alphabet: [UInt8]) -> DrawnFiller {
    DrawnFiller { generator in (0..<64).map { _ in generator.pick(alphabet) } }
  }

  package func run(_ generator: TaskGenerator) -> any FillerRun { Run(generator: generator, draw: draw) }

  private struct Run: FillerRun {
    var generator: TaskGenerator
    let draw: @Sendable (inout TaskGenerator) -> [UInt8]
    var pending = PendingBytes()

    mutating func next(_ count: Int) -> [UInt8] {
      while pending.count < count { pending.append(draw(&generator)) }
      return pending.take(count)
    }
  }
}

/// Bytes that were made before they were asked for.
struct PendingBytes {
  private var bytes: [UInt8] = []
  private var start = 0

  var count: Int { bytes.count - start }
  /// The byte made last; nil where none is left.
  var last: UInt8? { count > 0 ? bytes.last : nil }

  mutating func append(_ more: [UInt8]) { bytes += more }

  /// The first `count` bytes, of which there must be that many.
  mutating func take(_ count: Int) -> [UInt8] {
    let taken = Array(bytes[start..<start + count])
    start += count
    // Moving what is left only when it is the smaller part keeps taking linear.
    if start > bytes.count / 2 {
      bytes.removeFirst(start)
      start = 0
    }
    return taken
  }
}

/// Several fillers, one of which is drawn for each run by its share.
package struct MixedFiller: Filler {
  private let parts: [(share: Double, filler: any Filler)]

  /// Shares are relative to their sum. There must be a part with a positive share.
  package init(_ parts: [(share: Double, filler: any Filler)]) {
    precondition(parts.contains { $0.share > 0 }, "a mixture of nothing")
    self.parts = parts.filter { $0.share > 0 }
  }

  package func run(_ generator: TaskGenerator) throws -> any FillerRun {
    var generator = generator
    var left = generator.uniform() * parts.reduce(0) { $0 + $1.share }
    for part in parts {
      left -= part.share
      if left < 0 { return try part.filler.run(generator.fork()) }
    }
    return try parts[parts.count - 1].filler.run(generator.fork())
  }
}
