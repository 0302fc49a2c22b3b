import Meander
import MeanderModelTiny
import MeanderTestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct GenerateTests {
  @Test func noTokenIsComputedBeforeItIsAskedFor() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The ")
    var tokens = session.generate(maximumTokens: 10).makeAsyncIterator()
    #expect(session.position == 4)
    for count in 1...3 {
      _ = try await tokens.next()
      #expect(session.position == 4 + Int64(count))
    }
  }

  @Test func greedyTokensAreTheLikeliest() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The file is ")
    let fork = try await session.fork()
    for try await token in session.generate(maximumTokens: 12, topCount: 3) {
      let logits = try await fork.logits()
      let best = try #require(logits.indices.max { logits[$0] < logits[$1] })
      #expect(token.id == Int32(best))
      #expect(
        token.top.count == 3 && token.top[0].id == token.id && token.top[0].logProbability == token.logProbability)
      try await fork.feed(ids: [token.id])
    }
    #expect(session.position == 24)
  }

  @Test func aSeedRepeats() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The ")
    var sampling = SamplingOptions()
    sampling.temperature = 1
    sampling.seed = 11
    let first = try await text(session.fork().generate(sampling, maximumTokens: 60))
    let second = try await text(session.fork().generate(sampling, maximumTokens: 60))
    sampling.seed = 12
    let third = try await text(session.fork().generate(sampling, maximumTokens: 60))
    #expect(first == second)
    #expect(first != third)
  }

  @Test func theEndTokenEndsAndIsNotRead() async throws {
    let model = try await Model.load("passkey", engine: Engine())
    // The line break.
    #expect(model.endTokens == [10])
    var sampling = SamplingOptions()
    sampling.logitBias = [10: 1e6]
    let session = try Session(model)
    try await session.feed("abc")
    #expect(try await text(session.generate(sampling, maximumTokens: 3)) == "")
    #expect(session.position == 3)
  }

  @Test func aStopStringEndsAndIsNotPartOfTheText() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The file is ")
    let whole = try await text(session.fork().generate(maximumTokens: 40))
    let middle = Array(whole)[10..<14]
    let stop = String(middle)
    let expected = String(whole[..<(try #require(whole.firstRange(of: stop)).lowerBound)])
    let fork = try await session.fork()
    #expect(try await text(fork.generate(maximumTokens: 40, stop: ["never", stop])) == expected)
    #expect(fork.position < session.position + 40)
    // What only begins like a stop string is not lost at the end.
    #expect(
      try await text(session.fork().generate(maximumTokens: 14, stop: [stop + "\u{1}"])) == String(whole.prefix(14)))
  }

  @Test func optionsOutOfRangeAreRefusedByName() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The ")
    var sampling = SamplingOptions()
    sampling.topP = 7
    let error = await #expect(throws: MeanderError.self) {
      _ = try await text(session.generate(sampling, maximumTokens: 1))
    }
    #expect(error?.code == .badRequest)
    #expect(throws: MeanderError.self) { try Session(session.model, sampling: sampling) }
  }

  @Test func aCancelledGenerationThrows() async throws {
    let session = try await Session(Model.load("tiny", engine: Engine()))
    try await session.feed("The ")
    let generating = Task { for try await _ in session.generate() {} }
    #expect(await eventually { session.position >= 20 })
    generating.cancel()
    let error = await #expect(throws: MeanderError.self) { try await generating.value }
    #expect(error?.code == .cancelled)
    try await session.feed("and on")
  }

  @Test func passkeyAnswersFromTheMiddleOfTheText() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    try await session.feed(bytes: someText(3000))
    try await session.feed(" The pass key is 48213. Remember it. 48213 is the pass key. ")
    try await session.feed(bytes: someText(20_000, seed: 8))
    try await session.feed(" What is the pass key? The pass key is ")
    #expect(try await text(session.generate(maximumTokens: 5)) == "48213")
  }

  private func text(_ stream: TokenStream) async throws -> String {
    var text = ""
    for try await token in stream { text += token.text }
    return text
  }
}
