import Meander
import MeanderErrors
import MeanderTestSupport
import Testing

@Suite struct FallbackTests {
  private static let key = "What is the pass key? The pass key is "

  private static func reader(_ name: String, fallback: String, _ rule: FallbackRule) async throws -> FallbackReader {
    let engine = try Engine(threads: 1)
    let session = try Session(try await Model.load(name, engine: engine))
    return try FallbackReader(session, fallback: try await Model.load(fallback, engine: engine), rule: rule)
  }

  private static func text(_ filler: Int) -> [UInt8] {
    let line = "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. "
    let note = "The pass key is 48213. Remember it. 48213 is the pass key. "
    return Array((String(repeating: line, count: filler) + note + String(repeating: line, count: filler)).utf8)
  }

  @Test func aCertainReaderAnswersItself() async throws {
    let reader = try await Self.reader("passkey", fallback: "reader", FallbackRule(threshold: -100))
    try await reader.feed(bytes: Self.text(3))
    let answer = try await reader.answer(Self.key, maximumTokens: 5)
    #expect(answer.text == "48213" && answer.model == "passkey" && answer.reason == nil)
    #expect(try #require(answer.confidence) <= 0)
  }

  /// The fallback reads the same bytes again, its question with them, and the reader stays where it was.
  @Test func anUncertainReaderAsksTheFallback() async throws {
    let reader = try await Self.reader("reader", fallback: "passkey", FallbackRule(threshold: 0))
    for piece in [Self.text(3)[..<100], Self.text(3)[100...]] { try await reader.feed(bytes: Array(piece)) }
    let position = reader.reader.position
    let answer = try await reader.answer(Self.key, maximumTokens: 5)
    #expect(answer.text == "48213" && answer.model == "passkey" && answer.reason == .uncertain)
    #expect(reader.reader.position == position)
    #expect(answer == (try await reader.answer(Self.key, maximumTokens: 5)))
  }

  /// It reads no more than its last tokens.
  @Test func theFallbackHoldsTheLastTokensAlone() async throws {
    let rule = FallbackRule(threshold: 0, tokens: 300)
    let reader = try await Self.reader("reader", fallback: "passkey", rule)
    try await reader.feed(bytes: Self.text(20))
    #expect(try await reader.answer(Self.key, maximumTokens: 5).text != "48213")
  }

  /// Another tokenizer reads the text, cut at a whole character.
  @Test func tokenizersMayDiffer() async throws {
    let rule = FallbackRule(threshold: 0, tokens: 40)
    let pairs = RandomModel.pairs.folder
    let reader = try await Self.reader("reader", fallback: pairs, rule)
    let text = Array(String(repeating: "päckchen ", count: 60).utf8)
    try await reader.feed(bytes: text)
    let answer = try await reader.answer("Und? ", maximumTokens: 4, stop: [])
    #expect(answer.model == pairs && answer.tokens == 4)
    // What it answers is what it answers alone, from the same last tokens.
    let model = try await Model.load(pairs, engine: try Engine(threads: 1))
    let alone = try Session(model)
    let kept = text.suffix(8 * 40).drop { $0 & 0xC0 == 0x80 }
    try await alone.feed(ids: Array(model.tokenizer.encode(Array(kept) + Array("Und? ".utf8)).suffix(40)))
    var expected = ""
    for try await token in alone.generate(maximumTokens: 4) { expected += token.text }
    #expect(answer.text == expected)
  }

  @Test func aTextBeginsAsTheFallbackExpects() async throws {
    let reader = try await Self.reader("reader", fallback: RandomModel.begun.folder, FallbackRule(threshold: 0, tokens: 20))
    try await reader.feed(bytes: Array(String(repeating: "one more line of text\n", count: 30).utf8))
    let model = reader.fallback
    let begin = try #require(model.tokenizer.encode("", special: true).first)
    let last = model.tokenizer.encode(String(repeating: "one more line of text\n", count: 30) + "And? ").suffix(19)
    #expect(await reader.context(with: "And? ", []) == [begin] + last)
  }

  @Test func rulesOutOfRangeAreRefused() async throws {
    for rule in [FallbackRule(quantile: 1.5), FallbackRule(threshold: .nan), FallbackRule(tokens: 0)] {
      let error = await #expect(throws: MeanderError.self) { try await Self.reader("reader", fallback: "passkey", rule) }
      #expect(error?.code == .badRequest)
    }
  }

  @Test func theQuantileLiesBetweenItsNeighbors() {
    #expect(FallbackRule(quantile: 0.5).value(of: [-3, -1, -2]) == -2)
    #expect(FallbackRule(quantile: 0.25).value(of: [-4, 0, -2, -1, -3]) == -3)
    #expect(FallbackRule(quantile: 0.1).value(of: [-2, -1]) == -1.9)
    #expect(FallbackRule(quantile: 0).value(of: [-2]) == -2)
    #expect(FallbackRule().value(of: []) == nil)
  }

  @Test func aRingKeepsTheEnd() {
    var ring = TextRing(capacity: 5)
    ring.append(Array("ab".utf8))
    #expect(ring.text == Array("ab".utf8))
    ring.append(Array("cdefg".utf8))
    #expect(ring.text == Array("cdefg".utf8))
    ring.append(Array("hé".utf8))
    #expect(ring.text == Array("fghé".utf8))
    ring.append(Array("wxyz".utf8))
    // Half a character is left out.
    #expect(ring.text == Array("wxyz".utf8))
  }
}
