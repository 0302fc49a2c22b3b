import Meander
import MeanderTestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct EngineTests {
  @Test func memoryIsCountedAndGivenBack() async throws {
    let engine = try Engine()
    #expect(engine.memoryReserved == 0)
    do {
      let model = try await Model.load("passkey", engine: engine)
      let loaded = engine.memoryReserved
      #expect(loaded >= model.weightByteCount)
      do {
        let session = try Session(model)
        try await session.feed("abc")
        _ = try await session.fork()
        #expect(engine.memoryReserved >= loaded + model.stateByteCount)
      }
      #expect(await eventually { engine.memoryReserved == loaded })
    }
    #expect(await eventually { engine.memoryReserved == 0 })
  }

  @Test func theMemoryLimitIsHeldBeforeAllocating() async throws {
    let free = try await Model.load("passkey", engine: Engine())
    let needed = free.engine.memoryReserved
    let engine = try Engine(memoryLimit: needed + 2 * free.stateByteCount)
    let model = try await Model.load("passkey", engine: engine)
    let sessions = try [Session(model), Session(model)]
    let error = #expect(throws: MeanderError.self) { try Session(model) }
    #expect(error?.code == .limit)
    let refused = await #expect(throws: MeanderError.self) { try await sessions[0].fork() }
    #expect(refused?.code == .limit)
    let tight = await #expect(throws: MeanderError.self) {
      try await Model.load("passkey", engine: Engine(memoryLimit: 1000))
    }
    #expect(tight?.code == .limit)
  }

  @Test func callsBeyondTheBoundAreRefused() async throws {
    let engine = try Engine(maximumWaiting: 2)
    let model = try await Model.load("reader", engine: engine)
    let sessions = try (0..<12).map { _ in try Session(model) }
    let bytes = someText(20_000)
    let outcomes = await withTaskGroup(of: MeanderError.Code?.self) { group in
      for session in sessions {
        group.addTask {
          do {
            try await session.feed(bytes: bytes)
            return nil
          } catch {
            return (error as? MeanderError)?.code
          }
        }
      }
      return await group.reduce(into: []) { $0.append($1) }
    }
    #expect(outcomes.count { $0 == nil } >= 3)
    #expect(outcomes.contains(.limit))
    #expect(outcomes.allSatisfy { $0 == nil || $0 == .limit })
    for (session, read) in zip(sessions, sessions.map(\.position)) where read == 0 { try await session.feed("now") }
  }

  @Test func badBoundsAreRefused() {
    #expect(throws: MeanderError.self) { try Engine(threads: 0) }
    #expect(throws: MeanderError.self) { try Engine(threads: 1 << 20) }
    #expect(throws: MeanderError.self) { try Engine(memoryLimit: -1) }
    #expect(throws: MeanderError.self) { try Engine(maximumWaiting: -1) }
    #expect(throws: MeanderError.self) { try Engine(instructions: "abacus") }
  }

  @Test func enginesComeAndGo() async throws {
    for _ in 0..<30 {
      let model = try await Model.load("passkey", engine: Engine(threads: 2))
      try await Session(model).feed("abc")
    }
  }

  @Test func shippedModelsSayWhatTheyAreFor() async throws {
    let engine = try Engine()
    let passkey = try await Model.load("passkey", engine: engine)
    let reader = try await Model.load(Model.defaultName, engine: engine)
    #expect(passkey.purposes == ["recall"] && reader.purposes == ["language"])
    #expect(reader.trainedLength == 1_000_000)
    #expect(passkey.parameterCount == 215_478)
    #expect(passkey.vocabularyCount == 256 && passkey.tokenizer.vocabularyCount == 256)
    #expect(passkey.fingerprint != reader.fingerprint)
    #expect(passkey.generationDefaults.temperature == 0)
    let missing = await #expect(throws: MeanderError.self) { try await Model.load("no-such-model", engine: engine) }
    #expect(missing?.code == .notFound && missing?.remedy?.contains("passkey, reader") == true)
  }
}
