import Meander
import MeanderErrors
import MeanderTestSupport
import Testing

/// Sessions of a model whose state is a bounded cache.
@Suite struct AttentionSessionTests {
  private static func model(_ context: ContextBound = .bounded(globals: 3, locals: 40), engine: Engine? = nil) async throws -> Model {
    try await Model.load(Fixture.path("llama-gqa"), engine: engine ?? Engine(threads: 2), context: context)
  }

  private static let text = Array((0..<60).map { "line \($0) tells of \($0 * 7919 % 101) things\n" }.joined().utf8)

  @Test func aSnapshotAndAForkGoOnToTheBit() async throws {
    let model = try await Self.model()
    let whole = try Session(model)
    try await whole.feed(bytes: Self.text)
    let first = try Session(model)
    try await first.feed(bytes: Array(Self.text[..<777]))
    let file = try await first.snapshot().bytes()
    let fork = try await first.fork()
    try await first.feed(bytes: Array(Self.text[777...]))
    for session in [fork, try Session(model, from: Snapshot(bytes: file))] {
      for start in stride(from: 777, to: Self.text.count, by: 100) {
        try await session.feed(bytes: Array(Self.text[start..<min(start + 100, Self.text.count)]))
      }
      #expect(try await session.logits().map(\.bitPattern) == (try await whole.logits().map(\.bitPattern)))
    }
    #expect(try await first.logits().map(\.bitPattern) == (try await whole.logits().map(\.bitPattern)))
    #expect(try await whole.snapshot().bytes() == (try await first.snapshot().bytes()))
  }

  @Test func anotherBoundRefusesASnapshot() async throws {
    let session = try Session(try await Self.model())
    try await session.feed(bytes: Self.text)
    let snapshot = try await session.snapshot()
    for context in [ContextBound.standard, .bounded(globals: 3, locals: 41), .bounded(globals: 4, locals: 40), .full(bytes: 1 << 20)] {
      let model = try await Self.model(context)
      let error = #expect(throws: MeanderError.self) { try Session(model, from: snapshot) }
      #expect(error?.code == .mismatch || error?.code == .badData)
      #expect(error?.description.contains("attention") == true, "\(error?.description ?? "")")
    }
  }

  /// A cache counts against the engine's memory, and one that is full ends a feed and leaves the session where it was.
  @Test func aFullCacheIsCountedAndEnds() async throws {
    let engine = try Engine(threads: 1, memoryLimit: 64 << 20)
    let model = try await Self.model(.full(bytes: 512 * 128), engine: engine)
    #expect(model.contextTokens == 128)
    let before = engine.memoryReserved
    let session = try Session(model)
    #expect(engine.memoryReserved - before == model.stateByteCount)
    try await session.feed(bytes: Array(Self.text[..<128]))
    let error = await #expect(throws: MeanderError.self) { try await session.feed(bytes: Array(Self.text[128..<140])) }
    #expect(error?.code == .limit)
    #expect(session.position == 128)
    let large = try await Self.model(.full(bytes: 40 << 20), engine: engine)
    var held: [Session] = []
    let refused = #expect(throws: MeanderError.self) { for _ in 0..<2 { held.append(try Session(large)) } }
    #expect(held.count == 1)
    #expect(refused?.code == .limit)
  }
}
