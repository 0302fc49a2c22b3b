import Meander
import MeanderFiles
import MeanderTestSupport
import Testing

/// Mitigations in sessions and snapshots.
@Suite(.timeLimit(.minutes(5))) struct MitigationTests {
  static let texts = [
    "rri", "state-norm:factor=0.5,grid=64", "window:length=512", "window:length=512,form=subtractive",
    "window:length=512,form=two-stack,grid=128", "reset:every=1024,keep=512", "reset:keep=512", "auto", "token-filter",
  ]

  @Test(arguments: texts)
  func resumingGivesTheSameBits(_ text: String) async throws {
    let plain = try await Model.load("reader", engine: Engine(threads: 2))
    let model = try plain.mitigated(by: [Mitigation(text)])
    let bytes = someText(2600)
    let whole = try Session(model)
    try await whole.feed(bytes: bytes)
    var session = try Session(model)
    for piece in cut(bytes, seed: 3) {
      try await session.feed(bytes: piece)
      session = try await Session(model, from: Snapshot(bytes: session.snapshot().bytes()))
    }
    #expect(try await Outcome(session) == Outcome(whole))
    let fork = try await whole.fork()
    try await fork.feed(bytes: bytes)
    try await session.feed(bytes: bytes)
    #expect(try await Outcome(fork) == Outcome(session))
  }

  @Test func aSnapshotUnderOthersIsRefusedWithBothNamed() async throws {
    let plain = try await Model.load("passkey", engine: Engine())
    let mitigated = try plain.mitigated(by: [.rri(), .window(512)])
    let session = try Session(mitigated)
    try await session.feed(bytes: someText(700))
    let snapshot = try await Snapshot(bytes: session.snapshot().bytes())
    #expect(snapshot.mitigations == ["rri:retention=0.9999,insertion=0.75", "window:length=512,form=staggered,fade=64,grid=64"])
    for (other, named) in [(plain, "none"), (try plain.mitigated(by: [.rri(insertion: 1)]), "insertion=1.0")] {
      let error = #expect(throws: MeanderError.self) { try Session(other, from: snapshot) }
      #expect(error?.code == .mismatch)
      #expect(error?.what.contains("rri:retention=0.9999,insertion=0.75") == true && error?.what.contains(named) == true)
    }
    let unmitigated = try await Session(plain).snapshot()
    #expect(throws: MeanderError.self) { try Session(mitigated, from: unmitigated) }
  }

  @Test func theyAreTheSessionsOwn() async throws {
    let model = try await Model.load("passkey", engine: Engine(), mitigations: [.rri()])
    #expect(model.mitigations == [.rri()])
    let bytes = someText(900)
    let session = try Session(model)
    let other = try Session(model, mitigations: [])
    #expect(other.model.mitigations == [])
    try await session.feed(bytes: bytes)
    try await other.feed(bytes: bytes)
    #expect(try await Outcome(session) != Outcome(other))
    let plain = try Session(await Model.load("passkey", engine: Engine()))
    try await plain.feed(bytes: bytes)
    #expect(try await Outcome(plain) == Outcome(other))
  }

  @Test func moreStateCountsAgainstTheMemoryLimit() async throws {
    let plain = try await Model.load("reader", engine: Engine())
    let limited = try await Model.load("reader", engine: Engine(memoryLimit: plain.engine.memoryReserved + 8 << 20))
    _ = try Session(limited)
    let error = #expect(throws: MeanderError.self) { try Session(limited, mitigations: [.window(1 << 16, form: .twoStack)]) }
    #expect(error?.code == .limit)
  }

  @Test func aSessionTellsWhatTheyDid() async throws {
    let model = try await Model.load("reader", engine: Engine(), mitigations: [.reset(every: 512)])
    let session = try Session(model)
    #expect(try await session.mitigationReport() == [])
    try await session.feed(bytes: someText(3000))
    let report = try await session.mitigationReport()
    #expect(report.count == 1 && report[0].contains("swapped"), "\(report)")
  }

  /// A file of format 1.0 lacks what the alarm remembers of the retention.
  @Test func olderSnapshotsAreRead() async throws {
    let model = try await Model.load("passkey", engine: Engine())
    let session = try Session(model)
    try await session.feed(bytes: someText(1300))
    let snapshot = try await session.snapshot()
    let old = try Self.formatOne(snapshot)
    #expect(old.formatVersion.description == "1.0")
    #expect(!old.regions.contains { $0.name.hasSuffix("trained_retention") })
    let resumed = try Session(model, from: old)
    #expect(try await resumed.logits() == session.logits())
    let bytes = someText(1000, seed: 4)
    try await resumed.feed(bytes: bytes)
    try await session.feed(bytes: bytes)
    #expect(try await resumed.logits() == session.logits())
  }

  private static func formatOne(_ snapshot: Snapshot) throws -> Snapshot {
    let store = try TensorStore.open(safetensors: FileBytes(snapshot.bytes(), path: "snapshot"))
    var writer = SafeTensorsWriter()
    writer.metadata = store.metadata
    writer.metadata["format_version"] = "1.0"
    for (name, entry) in store.entries.sorted(by: { $0.key < $1.key }) where !name.hasSuffix(".trained_retention") {
      try writer.add(name, entry.type, entry.shape, bytes: store.bytes(name))
    }
    return try Snapshot(bytes: writer.bytes())
  }
}
