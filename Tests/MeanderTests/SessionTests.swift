import Meander
import MeanderModels
import MeanderTestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct SessionTests {
  @Test func aTextBeginsAsItsTokenizerAsks() async throws {
    let model = try await Model.load(RandomModel.begun.folder, engine: Engine())
    #expect(model.tokenizer.beginning.count == 1)
    let (session, other) = (try Session(model), try Session(model))
    try await session.begin()
    // Twice, and behind a text, it does nothing.
    try await session.begin()
    #expect(session.position == 1 && session.bytesRead == 0)
    try await session.feed("hello there")
    try await session.finishInput()
    try await session.begin()
    try await other.feed(ids: model.tokenizer.beginning + model.tokenizer.encode("hello there"))
    #expect(try await session.logits() == other.logits())
    let plain = try await Session(Model.load("reader", engine: Engine()))
    try await plain.begin()
    #expect(plain.position == 0)
  }

  @Test func textBytesIdsAndPiecesAreOneInput() async throws {
    let model = try await Model.load("passkey", engine: Engine())
    let text = "The pass key is 48213. Né 日本 🌊."
    let bytes = Array(text.utf8)
    let sessions = try (0..<4).map { _ in try Session(model) }
    try await sessions[0].feed(text)
    try await sessions[1].feed(bytes: bytes)
    try await sessions[2].feed(ids: bytes.map { Int32($0) })
    try await sessions[3].feed(AsyncStream { continuation in
      for piece in cut(bytes, seed: 3) { continuation.yield(piece[...]) }
      continuation.finish()
    })
    let first = try await Outcome(sessions[0])
    for session in sessions { #expect(try await Outcome(session) == first) }
    #expect(sessions[0].position == Int64(bytes.count) && sessions[3].bytesRead == Int64(bytes.count))
    #expect(sessions[2].bytesRead == 0)
  }

  @Test func finishingDecidesWhatTheTokenizerHeldBack() async throws {
    let model = try await TestModel.pairs.load(Engine())
    let session = try Session(model)
    try await session.feed("recurrent sta")
    try await session.feed("tes")
    let held = session.position
    try await session.finishInput()
    #expect(session.position > held)
    #expect(session.position == Int64(model.tokenizer.encode("recurrent states").count))
    #expect(session.bytesRead == 16)
    try await session.feed(" and rivers")
    try await session.finishInput()
    let whole = try Session(model)
    try await whole.feed(ids: model.tokenizer.encode("recurrent states") + model.tokenizer.encode(" and rivers"))
    #expect(try await Outcome(session) == Outcome(whole))
    #expect(session.bytesRead == 27)
  }

  @Test func aTokenOutsideTheVocabularyMovesNothing() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    for bad in [-1, 256, Int32.max] {
      let error = await #expect(throws: MeanderError.self) { try await session.feed(ids: [1, 2, bad]) }
      #expect(error?.code == .badRequest)
    }
    #expect(session.position == 0)
  }

  @Test func nothingReadGivesNothingToContinue() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    let error = await #expect(throws: MeanderError.self) { try await session.logits() }
    #expect(error?.code == .badRequest)
    try await session.feed("")
    try await session.feed(bytes: [])
    try await session.finishInput()
    #expect(session.position == 0 && session.bytesRead == 0)
  }

  @Test(arguments: [TestModel.passkey, .reader, .pairs])
  func aCancelledFeedEndsWithItsChunkAndGoesOn(_ name: TestModel) async throws {
    let model = try await name.load(Engine())
    let bytes = someText(400_000)
    let session = try Session(model)
    let feeding = Task { try await session.feed(bytes: bytes) }
    #expect(await eventually { session.position > 0 })
    feeding.cancel()
    let error = await #expect(throws: MeanderError.self) { try await feeding.value }
    #expect(error?.code == .cancelled)
    let stopped = Int(session.bytesRead)
    try #require(stopped > 0 && stopped < 400_000)
    if name == .passkey { #expect(stopped % 512 == 0 && session.position == Int64(stopped)) }
    try await session.feed(bytes: Array(bytes[stopped...].prefix(700)))
    let whole = try Session(model)
    try await whole.feed(bytes: Array(bytes[..<(stopped + 700)]))
    #expect(try await Outcome(session) == Outcome(whole))
  }

  @Test func aCancelledStreamEndsToo() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    let feeding = Task { try await session.feed(EndlessText()) }
    #expect(await eventually { session.position >= 5000 })
    // Other calls are served between two pieces of an endless feed.
    let snapshot = try await session.snapshot()
    #expect(snapshot.position >= 5000)
    feeding.cancel()
    let error = await #expect(throws: MeanderError.self) { try await feeding.value }
    #expect(error?.code == .cancelled)
    #expect(session.bytesRead == session.position)
  }

  @Test func callsOfSeveralTasksAreServedOneByOne() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    // Longer than a turn, so that two calls at once would mix their chunks.
    let text = someText(1300)
    try await withThrowingTaskGroup(of: Void.self) { group in
      for _ in 0..<8 { group.addTask { try await session.feed(bytes: text) } }
      try await group.waitForAll()
    }
    let whole = try Session(session.model)
    for _ in 0..<8 { try await whole.feed(bytes: text) }
    #expect(try await Outcome(session) == Outcome(whole))
  }

  @Test func sessionsTakeTurnsByChunk() async throws {
    let model = try await Model.load("passkey", engine: Engine())
    let long = try Session(model)
    let short = try Session(model)
    let bytes = someText(60_000)
    async let feeding: Void = long.feed(bytes: bytes)
    #expect(await eventually { long.position > 0 })
    try await short.feed(bytes: someText(600))
    #expect(long.position < 60_000, "the short feed waited for the long one")
    try await feeding
    #expect(long.position == 60_000)
  }
}

@Suite(.timeLimit(.minutes(5))) struct GaugeTests {
  @Test(arguments: TestModel.allCases)
  func oneReadingForEveryHead(_ name: TestModel) async throws {
    let model = try await name.load(Engine())
    let session = try Session(model)
    try await session.feed(bytes: someText(1100))
    let gauge = try await session.gauge()
    let counts = [TestModel.passkey: [6, 6, 6], .reader: [8, 8, 8, 8, 8, 8], .layer130m: [24], .pairs: [6, 6]]
    #expect(gauge.layers.map(\.heads.count) == counts[name])
    for head in gauge.layers.flatMap(\.heads) {
      #expect(head.norm > 0 && head.norm.isFinite)
      #expect(head.largestOverRMS >= 1)
      #expect(head.retention < 0)
    }
  }

  @Test func theNormIsThatOfTheState() async throws {
    let session = try await Session(Model.load("passkey", engine: Engine()))
    try await session.feed(bytes: someText(1000))
    let gauge = try await session.gauge()
    let state = try #require(try await session.referenceState().first { $0.name == "layers.1.ssm" })
    let size = state.shape[1] * state.shape[2]
    for (index, head) in gauge.layers[1].heads.enumerated() {
      let values = state.values[index * size..<(index + 1) * size].map { Double($0) }
      let norm = values.reduce(0) { $0 + $1 * $1 }.squareRoot()
      #expect(abs(head.norm - norm) <= 1e-5 * norm)
      let largest = values.map { abs($0) }.max() ?? 0
      #expect(abs(head.largestOverRMS - largest / (norm / Double(size).squareRoot())) <= 1e-4 * head.largestOverRMS)
    }
  }

  @Test func aStateThatIsNotFiniteIsAnErrorThatNamesTheHead() async throws {
    let model = try await Model.load("passkey", engine: Engine())
    let session = try Session(model)
    try await session.feed(bytes: someText(100))
    let good = try await session.snapshot()
    let poisoned = try good.replacing(region: "layers.1.ssm") { bytes in
      // +infinity in head 2's part of the state (H 4, N 32, P 32).
      bytes.replaceSubrange(2 * 32 * 32 * 4..<2 * 32 * 32 * 4 + 4, with: [0, 0, 0x80, 0x7F])
    }
    try await session.restore(poisoned)
    let error = await #expect(throws: MeanderError.self) { try await session.feed(bytes: someText(600)) }
    #expect(error?.code == .nonFinite)
    #expect(error?.place?.contains("layer 1, head 2, token 512") == true)
    let again = await #expect(throws: MeanderError.self) { try await session.feed("more") }
    #expect(again?.code == .nonFinite)
    await #expect(throws: MeanderError.self) { try await session.snapshot() }
    try await session.restore(good)
    try await session.feed("more")
    #expect(session.position == 104)
  }
}

/// Text without an end, a line at a time.
private struct EndlessText: AsyncSequence, Sendable {
  struct AsyncIterator: AsyncIteratorProtocol {
    mutating func next() async -> [UInt8]? {
      Task.isCancelled ? nil : Array("one more line of the endless text\n".utf8)
    }
  }

  func makeAsyncIterator() -> AsyncIterator { AsyncIterator() }
}
