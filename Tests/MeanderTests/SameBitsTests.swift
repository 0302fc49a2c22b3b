import Meander
import MeanderTestSupport
import Testing

/// However the input is cut, on any number of threads, under any instruction table, and across snapshots and
/// forks, logits and state are the same to the bit.
@Suite(.timeLimit(.minutes(5))) struct SameBitsTests {
  /// What a session that read `bytes` in one call comes to.
  private func whole(_ model: Model, _ bytes: [UInt8]) async throws -> Outcome {
    let session = try Session(model)
    try await session.feed(bytes: bytes)
    return try await Outcome(session)
  }

  @Test(arguments: TestModel.allCases, [1, 2] as [UInt64])
  func anyCutOfTheInput(_ name: TestModel, _ seed: UInt64) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(name.tokens)
    let session = try Session(model)
    for piece in cut(bytes, seed: seed) { try await session.feed(bytes: piece) }
    #expect(try await Outcome(session) == whole(model, bytes))
  }

  @Test(arguments: TestModel.allCases)
  func everyByteAlone(_ name: TestModel) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(name == .layer130m ? 100 : 540)
    let session = try Session(model)
    for byte in bytes { try await session.feed(bytes: [byte]) }
    #expect(try await Outcome(session) == whole(model, bytes))
  }

  @Test(arguments: TestModel.allCases)
  func anyNumberOfThreads(_ name: TestModel) async throws {
    let bytes = someText(name.tokens)
    let one = try await whole(name.load(Engine(threads: 1)), bytes)
    let two = try await whole(name.load(Engine(threads: 2)), bytes)
    let three = try await whole(name.load(Engine(threads: 3)), bytes)
    #expect(one == two)
    #expect(one == three)
  }

  @Test(arguments: TestModel.allCases)
  func anyInstructionTable(_ name: TestModel) async throws {
    let bytes = someText(name == .layer130m ? 40 : 560)
    let best = try await whole(name.load(Engine(threads: 2)), bytes)
    for table in ["scalar", "avx2", "avx512", "avx512bf16", "neon"] {
      guard let engine = try? Engine(threads: 2, instructions: table) else { continue }
      #expect(try await whole(name.load(engine), bytes) == best, "\(table)")
    }
  }

  @Test(arguments: TestModel.allCases, [1, 2, 3] as [UInt64])
  func anyResumePoint(_ name: TestModel, _ seed: UInt64) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(name.tokens)
    var session = try Session(model)
    for piece in cut(bytes, seed: seed &+ 40) {
      try await session.feed(bytes: piece)
      session = try await Session(model, from: Snapshot(bytes: session.snapshot().bytes()))
    }
    #expect(session.bytesRead == Int64(bytes.count))
    #expect(try await Outcome(session) == whole(model, bytes))
  }

  @Test(arguments: TestModel.allCases)
  func scoresDependOnNoCut(_ name: TestModel) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(name.tokens)
    let expected = try await Session(model).score(bytes: bytes, isFinal: true)
    let session = try Session(model)
    var scores: [TokenScore] = []
    for piece in cut(bytes, seed: 9) { scores += try await session.score(bytes: piece) }
    scores += try await session.score(bytes: [], isFinal: true)
    #expect(scores == expected)
    #expect(scores.last?.end == Int64(bytes.count))
  }

  @Test(arguments: TestModel.allCases)
  func scoringAndFeedingLeaveTheSameState(_ name: TestModel) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(name.tokens)
    let session = try Session(model)
    _ = try await session.score(bytes: bytes)
    #expect(try await Outcome(session) == whole(model, bytes))
  }

  @Test(arguments: TestModel.allCases)
  func aForkGoesItsOwnWay(_ name: TestModel) async throws {
    let model = try await name.load(Engine(threads: 2))
    let bytes = someText(900)
    let trunk = try Session(model)
    try await trunk.feed(bytes: Array(bytes[..<701]))
    let fork = try await trunk.fork()
    let before = try await Outcome(trunk)
    try await fork.feed("something else entirely")
    #expect(try await Outcome(trunk) == before)
    try await trunk.feed(bytes: Array(bytes[701...]))
    #expect(try await Outcome(trunk) == whole(model, bytes))
    #expect(try await Outcome(fork) != Outcome(trunk))
  }
}

/// Where a session stands, to the bit.
struct Outcome: Equatable {
  let position: Int64
  let regions: [Snapshot.Region]
  let logits: [UInt32]

  init(_ session: Session) async throws {
    let snapshot = try await session.snapshot()
    position = snapshot.position
    regions = snapshot.regions
    logits = try await session.logits().map(\.bitPattern)
  }
}
