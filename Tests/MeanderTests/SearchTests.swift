import Glibc
import Meander
import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct SearchTests {
  private static func options(_ width: Int, _ change: (inout SamplingOptions) -> Void = { _ in }) -> SamplingOptions {
    var options = SamplingOptions()
    options.beam.width = width
    change(&options)
    return options
  }

  private static func text(_ session: Session, _ options: SamplingOptions, _ count: Int?, stop: [String] = []) async throws -> [Token] {
    var tokens: [Token] = []
    for try await token in session.generate(options, maximumTokens: count, stop: stop) { tokens.append(token) }
    return tokens
  }

  private static func session(_ name: String = "passkey") async throws -> Session {
    let session = try Session(try await Model.load(name, engine: Engine(threads: 1)))
    try await session.feed("The grass is green. The pass key is 48213. The sky ")
    return session
  }

  /// Two tokens of 256: every pair is looked at, and the search finds the likeliest.
  @Test func twoTokensAreTheLikeliestPair() async throws {
    let session = try await Self.session()
    var best: (ids: [Int32], sum: Double) = ([], -.infinity)
    func logProbabilities(_ session: Session) async throws -> [Double] {
      let logits = try await session.logits().map { Double($0) }
      let top = logits.max() ?? 0
      let total = logits.reduce(0) { $0 + exp($1 - top) }
      return logits.map { $0 - top - log(total) }
    }
    let first = try await logProbabilities(session)
    for (id, value) in first.enumerated() where value > -12 {
      let fork = try await session.fork()
      try await fork.feed(ids: [Int32(id)])
      for (other, more) in try await logProbabilities(fork).enumerated() where value + more > best.sum {
        best = ([Int32(id), Int32(other)], value + more)
      }
    }
    let found = try await Self.text(session, Self.options(64), 2)
    #expect(found.map(\.id) == best.ids)
    #expect(abs(found.reduce(0) { $0 + $1.logProbability } - best.sum) < 1e-4)
  }

  /// The session stands behind the text that was found, as if that had been fed.
  @Test func theSessionStandsBehindTheText() async throws {
    let (session, other) = (try await Self.session("reader"), try await Self.session("reader"))
    try await other.finishInput()
    let found = try await Self.text(session, Self.options(3), 8)
    #expect(found.count > 0 && session.position == other.position + Int64(found.count))
    try await other.feed(ids: found.map(\.id))
    #expect(try await session.logits() == other.logits())
    // Another search from the same place finds the same.
    #expect(try await Self.text(try await Self.session("reader"), Self.options(3), 8) == found)
  }

  @Test func aTextEndsAtAStopString() async throws {
    let session = try await Self.session("reader")
    let free = try await Self.text(try await Self.session("reader"), Self.options(2), 12).map(\.text).joined()
    let stop = String(try #require(free.dropFirst(2).first))
    let ended = try await Self.text(session, Self.options(2), 12, stop: [stop]).map(\.text).joined()
    #expect(!ended.contains(stop))
  }

  @Test func whatCannotBeSearchedIsRefused() async throws {
    let session = try await Self.session()
    let unbounded = await #expect(throws: MeanderError.self) { try await Self.text(session, Self.options(2), nil) }
    #expect(unbounded?.code == .badRequest)
    let covered = await #expect(throws: MeanderError.self) {
      try await Self.text(session, Self.options(2) { $0.beam.coveragePenalty = 0.2 }, 4)
    }
    #expect(covered?.code == .unsupported && covered?.description.contains("attention") == true)
    // A search that does not fit is refused before it begins.
    let model = session.model
    let engine = try Engine(threads: 1, memoryLimit: model.engine.memoryReserved + 3 * model.stateByteCount)
    let narrow = try Session(try await Model.load("passkey", engine: engine))
    try await narrow.feed("The ")
    let large = await #expect(throws: MeanderError.self) { try await Self.text(narrow, Self.options(16), 4) }
    #expect(large?.code == .limit)
  }

  /// A transformer tells what it attended to, so that a large β changes what is found.
  @Test func attentionToThePromptCounts() async throws {
    let model = try await Model.load(Fixture.path("llama-gqa"), engine: Engine(threads: 1))
    func found(_ beta: Double) async throws -> [Int32] {
      let session = try Session(model)
      try await session.feed(ids: [3, 9, 14, 2, 7, 21, 11])
      return try await Self.text(session, Self.options(6) { $0.beam.coveragePenalty = beta }, 5).map(\.id)
    }
    let (none, some, again) = (try await found(0), try await found(10), try await found(10))
    #expect(none.count == 5 && some == again && none != some, "\(none) and \(some)")
  }
}
