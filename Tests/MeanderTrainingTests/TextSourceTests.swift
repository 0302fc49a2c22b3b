import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import MeanderTraining
import Testing

/// Text as samples: every token once and in order, from any position on, whatever the size of the documents.
@Suite struct TextSourceTests {
  /// Documents of 0 to 900 bytes, which no window fits.
  static let documents: [[UInt8]] = (0..<23).map { (number: Int) -> [UInt8] in
    let count = number * 41 % 23 * 40
    return (0..<count).map { (place: Int) -> UInt8 in UInt8(97 + (place + number) % 25) }
  }

  static func folder() throws -> TemporaryFolder {
    let folder = TemporaryFolder()
    try Folder.make(folder("text/inner"))
    for (number, bytes) in documents.enumerated() {
      try AtomicFile.write(folder(number % 2 == 0 ? "text/\(number)" : "text/inner/\(number)"), bytes: bytes)
    }
    return folder
  }

  static func source(_ folder: TemporaryFolder, _ options: [(String, JSON)], lanes: Int = 3) throws -> TextSource {
    var configuration = try Configuration(JSON([("paths", JSON(["text"]))] + options), file: "recipe")
    let context = SourceContext(tokenizer: .bytes, lanes: lanes, seed: 3, folder: folder.path)
    let source = try TextSource(&configuration, context)
    try configuration.finish()
    return source
  }

  @Test(arguments: ["none", "document", "stream"])
  func goesOnFromAnyPosition(carry: String) throws {
    let folder = try Self.folder()
    let first = try Self.source(folder, [("carry", .string(carry))])
    var samples: [Sample] = []
    var positions: [SourcePosition] = []
    for step in 0..<120 {
      positions.append(first.position)
      samples.append(try first.next(lane: step % 3, length: 64))
    }
    for start in [0, 1, 17, 50, 119] {
      let again = try Self.source(folder, [("carry", .string(carry))])
      try again.restore(try SourcePosition(text: positions[start].text))
      for step in start..<120 { #expect(try again.next(lane: step % 3, length: 64) == samples[step]) }
    }
  }

  /// What one lane reads in stream mode is its documents, a line end behind each, and every window is full.
  @Test func aStreamIsItsDocuments() throws {
    let folder = try Self.folder()
    let source = try Self.source(folder, [("carry", .string("stream"))], lanes: 1)
    let count = Self.documents.reduce(0) { $0 + ($1.isEmpty ? 0 : $1.count + 1) }
    var tokens: [Int32] = []
    while tokens.count < count {
      let sample = try source.next(lane: 0, length: 50)
      #expect(sample.continues == !tokens.isEmpty)
      let segment = try #require(sample.segments.first)
      #expect(sample.segments.count == 1 && segment.tokens.count == 50)
      #expect(segment.tokens.dropFirst().elementsEqual(segment.targets.dropLast()))
      tokens += segment.tokens
    }
    let read = tokens.prefix(count).map { UInt8($0) }.split(separator: 0x0a).map(Array.init)
    #expect(Set(read) == Set(Self.documents.filter { !$0.isEmpty }))
    #expect(read.count == Self.documents.filter { !$0.isEmpty }.count)
  }

  @Test func aDocumentBeginsANewState() throws {
    let folder = try Self.folder()
    let source = try Self.source(folder, [("carry", .string("document"))], lanes: 1)
    var current: [UInt8] = []
    var seen: [[UInt8]] = []
    for _ in 0..<200 {
      let sample = try source.next(lane: 0, length: 64)
      let segment = try #require(sample.segments.first)
      if !sample.continues, !current.isEmpty { seen.append(current) }
      current = (sample.continues ? Array(current.dropLast()) : []) + segment.tokens.map { UInt8($0) }
      current.append(UInt8(segment.targets.last ?? 0))
    }
    #expect(seen.count > 20 && seen.allSatisfy { Self.documents.contains($0) })
  }

  @Test func splitsDoNotOverlap() throws {
    let folder = try Self.folder()
    func read(_ split: String) throws -> Set<[Int32]> {
      let source = try Self.source(
        folder, [("carry", .string("none")), ("held_out", JSON(0.4)), ("split", .string(split))], lanes: 1)
      return Set(try (0..<300).map { _ in try source.next(lane: 0, length: 2000).segments[0].tokens })
    }
    let (train, held) = (try read("train"), try read("held_out"))
    #expect(train.count > 3 && held.count > 3 && train.isDisjoint(with: held))
  }

  @Test func packedFilesAreReadAsWhatTheyHold() throws {
    let folder = TemporaryFolder()
    try Folder.make(folder("text"))
    // "packed\n" forty times.
    let packed: [UInt8] = [
      0x1f, 0x8b, 0x08, 0x00, 0x00, 0x00, 0x00, 0x00, 0x02, 0xff, 0x2b, 0x48, 0x4c, 0xce, 0x4e, 0x4d, 0xe1, 0x2a, 0x18, 0xa5,
      0x50, 0x29, 0x00, 0x14, 0x8d, 0x0a, 0x06, 0x18, 0x01, 0x00, 0x00,
    ]
    try AtomicFile.write(folder("text/a.gz"), bytes: packed)
    let source = try Self.source(folder, [], lanes: 1)
    let sample = try source.next(lane: 0, length: 279)
    #expect(sample.segments[0].tokens.prefix(7).map { UInt8($0) } == Array("packed\n".utf8))
    #expect(sample.segments[0].tokens.count == 279)
    try AtomicFile.write(folder("text/a.gz"), bytes: Array(packed.prefix(20)))
    #expect(throws: MeanderError.self) {
      let source = try Self.source(folder, [], lanes: 1)
      for _ in 0..<8 { _ = try source.next(lane: 0, length: 64) }
    }
  }

  @Test func noTextIsAnError() throws {
    let folder = TemporaryFolder()
    try Folder.make(folder("text"))
    #expect(throws: MeanderError.self) { try Self.source(folder, []) }
    try AtomicFile.write(folder("text/empty"), bytes: [])
    #expect(throws: MeanderError.self) { try Self.source(folder, []) }
  }
}
