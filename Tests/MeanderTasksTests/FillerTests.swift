import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

@Suite struct FillerTests {
  private static let kinds = ["classic", "newlines", "words", "text", "snippets", "distracted", "mixed", "symbols"]
  private let folder = TemporaryFolder()

  private func filler(_ kind: String) throws -> any Filler {
    let lines = (0..<200).map { "Line \($0) of this file says nöthing.\n" }.joined()
    try AtomicFile.write(folder("a.txt"), bytes: Array(lines.utf8))
    try AtomicFile.write(folder("b.txt"), bytes: Array("Another one.\nIt is short.\n".utf8))
    try AtomicFile.write(
      folder("snippets"), bytes: Array("Monday is 1\u{0}Tuesday is 2\n\u{0}\u{0}Sunday is 7\u{0}".utf8))
    let text = try TextFiller([folder("a.txt"), folder("b.txt")])
    switch kind {
    case "classic": return RepeatedFiller.classic
    case "newlines": return RepeatedFiller.newlines
    case "words": return DrawnFiller.words
    case "text": return text
    case "snippets": return try SnippetFiller(folder("snippets"))
    case "distracted": return DistractedFiller(text, spacing: 50)
    case "symbols": return DrawnFiller.symbols(Array("abc".utf8))
    default: return MixedFiller([(1, text), (2, RepeatedFiller.classic), (0, RepeatedFiller.newlines)])
    }
  }

  @Test(arguments: kinds)
  func theTextDoesNotDependOnThePieces(_ kind: String) throws {
    let filler = try filler(kind)
    for sample in 0..<5 {
      var whole = try filler.run(TaskGenerator(seed: 1, sample: UInt64(sample)))
      var pieces = try filler.run(TaskGenerator(seed: 1, sample: UInt64(sample)))
      let text = try whole.next(20_000)
      #expect(text.count == 20_000)
      var joined: [UInt8] = []
      for size in [1, 2, 0, 997, 3, 10_000, 8997] { joined += try pieces.next(size) }
      #expect(joined == text)
    }
  }

  @Test func textBeginsAtLinesAndGoesThroughAllFiles() throws {
    let filler = try filler("text")
    var starts: Set<String> = []
    for sample in 0..<100 {
      var run = try filler.run(TaskGenerator(seed: 2, sample: UInt64(sample)))
      let text = String(decoding: try run.next(20), as: UTF8.self)
      #expect(["Line ", "Anoth", "It is"].contains { text.hasPrefix($0) }, "\(text)")
      starts.insert(text)
    }
    #expect(starts.count > 50)
    var run = try filler.run(TaskGenerator(seed: 3))
    #expect(run.document == folder("a.txt"))
    let text = String(decoding: try run.next(16_000), as: UTF8.self)
    #expect(text.contains("Line 199 of this file says nöthing.\nAnother one.\nIt is short.\nLine 0 of"))
  }

  @Test func mixturesFollowTheirShares() throws {
    let filler = try filler("mixed")
    let fromText = try (0..<600).count { try filler.run(TaskGenerator(seed: 4, sample: UInt64($0))).document != nil }
    // A third, and four deviations either way.
    #expect((154...246).contains(fromText))
  }

  @Test func snippetsComeWhole() throws {
    var run = try filler("snippets").run(TaskGenerator(seed: 1))
    let lines = String(decoding: try run.next(3000), as: UTF8.self).split(separator: "\n").dropLast()
    #expect(Set(lines) == ["Monday is 1", "Tuesday is 2", "Sunday is 7"])
  }

  @Test func distractorsComeAsOftenAsAsked() throws {
    var run = try DistractedFiller(RepeatedFiller(Array("abcdefgh ".utf8)), spacing: 500).run(TaskGenerator(seed: 1))
    let text = try run.next(200_000)
    // 500 bytes of filler and a line of about 35: 370 of them.
    #expect((300...450).contains(text.count { $0 == UInt8(ascii: "\n") }))
    #expect(text.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) })
  }

  @Test func aReaderClosesLinesAndKeepsScalarsWhole() throws {
    for count in 1...40 {
      let filler = RepeatedFiller(Array("aö€𝄞".utf8))
      let example = Example([.filler(count), .text(Array("needle\n".utf8)), .filler(count)])
      var reader = ExampleReader(example, filler: filler.run(TaskGenerator(seed: 1)))
      var bytes: [UInt8] = []
      while let part = try reader.next() { bytes += part.bytes }
      #expect(bytes.count == 2 * count + 7)
      #expect(bytes[count - 1] == UInt8(ascii: "\n") && bytes.last == UInt8(ascii: "\n"))
      let head = String(validating: bytes[..<count], as: UTF8.self)
      #expect(head != nil, "\(count)")
    }
  }

  @Test func aLongExampleComesInPieces() throws {
    var reader = ExampleReader(
      Example([.filler(1_000_000)]), filler: RepeatedFiller.newlines.run(TaskGenerator(seed: 1)))
    var total = 0
    while let part = try reader.next() {
      #expect(part.bytes.count <= 65_536)
      total += part.bytes.count
    }
    #expect(total == 1_000_000)
  }

  @Test func aFolderStandsForItsFiles() throws {
    let listed = try filler("text")
    _ = try SnippetFiller(folder("snippets"))
    try AtomicFile.write(folder("snippets"), bytes: [])
    var (a, b) = (try listed.run(TaskGenerator(seed: 5)), try TextFiller([folder.path]).run(TaskGenerator(seed: 5)))
    #expect(try a.next(5000) == b.next(5000))
  }

  @Test func missingAndEmptyFilesAreErrors() throws {
    #expect(throws: MeanderError.self) { try TextFiller([folder("absent")]) }
    try AtomicFile.write(folder("empty"), bytes: [])
    #expect(throws: MeanderError.self) { try TextFiller([folder("empty")]) }
    #expect(throws: MeanderError.self) { try SnippetFiller(folder("empty")) }
    #expect(throws: MeanderError.self) { try TextFiller([folder.path]) }
  }
}
