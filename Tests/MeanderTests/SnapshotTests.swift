import Meander
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite(.timeLimit(.minutes(5))) struct SnapshotTests {
  @Test func aFileHoldsEverythingThatTheValueDoes() async throws {
    let session = try await warmed("passkey")
    var snapshot = try await session.snapshot()
    snapshot.attachments = ["lines": [1, 2, 3], "empty": []]
    snapshot.notes = ["written": "12", "ünïcode": "日本\n\"quoted\""]
    let path = temporaryFolder("snapshot") + "/one.state"
    try snapshot.write(to: path)
    let read = try Snapshot(contentsOf: path)
    #expect(read.regions.sorted { $0.name < $1.name } == snapshot.regions.sorted { $0.name < $1.name })
    #expect(read.attachments == snapshot.attachments)
    #expect(read.notes == snapshot.notes)
    #expect(read.fingerprint == session.model.fingerprint)
    #expect(read.position == session.position && read.bytesRead == session.bytesRead)
    #expect(read.compute == .fp32 && read.instructions == session.model.engine.instructions)
    #expect(try read.bytes() == snapshot.bytes())
    #expect(fileMode(path) == 0o600)
  }

  @Test func howExactlyAStateIsKeptGoesWithIt() async throws {
    let model = try await Model.load("reader", engine: Engine(), state: .bf16)
    #expect(model.statePrecision == .bf16)
    let text = String(repeating: "The state is rounded on the grid. ", count: 60)
    let session = try Session(model)
    try await session.feed(text)
    let snapshot = try await Snapshot(bytes: session.snapshot().bytes())
    #expect(snapshot.statePrecision == .bf16 && snapshot.difference(from: model) == nil)
    let full = try model.keepingStates(in: .fp32)
    let compensated = try Session(model.keepingStates(in: .compensated), sampling: nil)
    #expect(throws: MeanderError.self) { try Session(compensated.model, from: snapshot) }
    try await compensated.feed(text)
    let both = try await Snapshot(bytes: compensated.snapshot().bytes())
    #expect(both.statePrecision == .compensated)
    #expect(throws: MeanderError.self) { try Session(full, from: both) }
    let again = try Session(compensated.model, from: both)
    for session in [compensated, again] { try await session.feed(text) }
    #expect(try await again.logits() == compensated.logits())
    #expect(snapshot.difference(from: full)?.contains("bf16") == true)
    let resumed = try Session(model, from: snapshot)
    let other = try Session(full, from: snapshot)
    for session in [session, resumed, other] { try await session.feed(text) }
    let logits = try await session.logits()
    #expect(try await resumed.logits() == logits)
    #expect(try await other.logits() != logits)
    let plain = try await Session(full).snapshot()
    #expect(plain.statePrecision == .fp32)
  }

  @Test func generatingGoesOnWithTheSameDraws() async throws {
    let model = try await Model.load("reader", engine: Engine())
    var sampling = SamplingOptions()
    sampling.temperature = 1
    sampling.repeatPenalty = 1.2
    sampling.seed = 5
    let session = try Session(model, sampling: sampling)
    try await session.feed("The package manager ")
    _ = try await ids(session, 9)
    let resumed = try await Session(model, from: Snapshot(bytes: session.snapshot().bytes()))
    #expect(try await ids(resumed, 40) == ids(session, 40))
  }

  @Test func aCharacterCutInTwoIsWholeAfterResuming() async throws {
    let model = try await TestModel.pairs.load(Engine())
    let text = Array("the 🌊 of".utf8)
    for split in 1..<text.count {
      let session = try Session(model)
      try await session.feed(bytes: Array(text[..<split]))
      let resumed = try await Session(model, from: Snapshot(bytes: session.snapshot().bytes()))
      try await resumed.feed(bytes: Array(text[split...]))
      try await resumed.finishInput()
      let whole = try Session(model)
      try await whole.feed(bytes: text)
      try await whole.finishInput()
      #expect(try await Outcome(resumed) == Outcome(whole), "cut at byte \(split)")
    }
  }

  @Test func anotherModelsSnapshotIsRefusedWithBothFingerprints() async throws {
    let snapshot = try await warmed("passkey").snapshot()
    let reader = try await Model.load("reader", engine: Engine())
    let session = try Session(reader)
    try await session.feed("a b c")
    let before = try await Outcome(session)
    let error = await #expect(throws: MeanderError.self) { try await session.restore(snapshot) }
    #expect(error?.code == .mismatch)
    #expect(error?.what.contains(snapshot.fingerprint) == true && error?.what.contains(reader.fingerprint) == true)
    #expect(throws: MeanderError.self) { try Session(reader, from: snapshot) }
    #expect(try await Outcome(session) == before)
  }

  @Test func aNewerFormatIsRefusedAndAnotherMinorOneRead() async throws {
    let bytes = try await warmed("passkey").snapshot().bytes()
    let minor = try Snapshot(
      bytes: replacing("\"format_version\":\"1.1\"", with: "\"format_version\":\"1.7\"", in: bytes))
    #expect(minor.formatVersion.minor == 7)
    let newer = replacing("\"format_version\":\"1.1\"", with: "\"format_version\":\"2.0\"", in: bytes)
    let error = #expect(throws: MeanderError.self) { try Snapshot(bytes: newer) }
    #expect(error?.code == .badData && error?.what.contains("2.0") == true)
  }

  @Test func aFullDiskLeavesThePreviousFile() async throws {
    let session = try await warmed("passkey")
    let path = temporaryFolder("full") + "/one.state"
    try await session.snapshot().write(to: path)
    let before = try Snapshot(contentsOf: path).bytes()
    try await session.feed("more")
    var snapshot = try await session.snapshot()
    #expect(throws: MeanderError.self) { try snapshot.write(to: "/dev/full") }
    #expect(throws: MeanderError.self) { try snapshot.write(to: temporaryFolder("full") + "/missing/one.state") }
    #expect(try Snapshot(contentsOf: path).bytes() == before)
    snapshot.notes["after"] = "yes"
    try snapshot.write(to: path)
    #expect(try Snapshot(contentsOf: path).notes["after"] == "yes")
  }

  @Test func bfloat16ResumedUnderAnotherTableSaysSo() async throws {
    let model = try await Model.load("passkey", engine: Engine(), compute: .bf16)
    let session = try Session(model)
    try await session.feed("abc")
    let snapshot = try await session.snapshot()
    #expect(snapshot.difference(from: model) == nil)
    let scalar = try await Model.load("passkey", engine: Engine(instructions: "scalar"), compute: .bf16)
    #expect(snapshot.difference(from: scalar)?.contains("scalar") == true)
    let single = try await Model.load("passkey", engine: Engine(instructions: "scalar"))
    #expect(snapshot.difference(from: single)?.contains("fp32") == true)
  }

  /// Every damaged file is either refused with `MeanderError` or resumes into a session that works or
  /// refuses.
  @Test func damagedFilesAreRefused() async throws {
    let session = try await warmed("passkey")
    let model = session.model
    let good = try await session.snapshot().bytes()
    var random = SeededGenerator(seed: 2)
    var refused = 0
    for round in 0..<10_000 {
      let bytes = damaged(good, round, using: &random)
      do {
        let resumed = try Session(model, from: Snapshot(bytes: bytes))
        if round % 20 == 0 {
          try await resumed.feed("what follows ")
          for try await _ in resumed.generate(maximumTokens: 2) {}
        }
      } catch is MeanderError {
        refused += 1
      }
    }
    #expect(refused > 2500)
    for count in [0, 1, 7, 8, 9, 100, good.count / 2, good.count - 1] {
      #expect(throws: MeanderError.self) { try Snapshot(bytes: Array(good[..<count])) }
    }
  }

  private func damaged(_ good: [UInt8], _ round: Int, using random: inout SeededGenerator) -> [UInt8] {
    var bytes = good
    // Mostly the header, where the structure is.
    let limit = round % 4 == 0 ? bytes.count : 2000
    for _ in 0..<Int.random(in: 1...3, using: &random) {
      let place = Int.random(in: 0..<min(limit, bytes.count), using: &random)
      switch Int.random(in: 0..<4, using: &random) {
      case 0: bytes[place] = UInt8.random(in: 0...255, using: &random)
      case 1: bytes.remove(at: place)
      case 2: bytes.insert(UInt8(ascii: "9"), at: place)
      default: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &random)
      }
    }
    return bytes
  }

  private func warmed(_ name: String) async throws -> Session {
    let session = try await Session(Model.load(name, engine: Engine()))
    try await session.feed(bytes: someText(777))
    return session
  }

  private func ids(_ session: Session, _ count: Int) async throws -> [Int32] {
    var ids: [Int32] = []
    for try await token in session.generate(maximumTokens: count) { ids.append(token.id) }
    return ids
  }

  private func replacing(_ text: String, with other: String, in bytes: [UInt8]) -> [UInt8] {
    let pattern = Array(text.utf8)
    guard let start = bytes.indices.first(where: { bytes[$0...].starts(with: pattern) }) else { return [] }
    return Array(bytes[..<start]) + Array(other.utf8) + Array(bytes[(start + pattern.count)...])
  }
}
