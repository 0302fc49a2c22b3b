import Meander
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderLongConvolution
import MeanderModels
import MeanderTestSupport
import Testing

/// Whole models of long convolutions: against the definition in double precision, and against themselves however they are read.
@Suite struct HyenaTests {
  static let fixtures = ["hyena", "hyena-explicit", "hyena-striped"]

  init() { LongConvolution.register() }

  private func model(_ fixture: String) throws -> LanguageModel {
    try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
  }

  /// Logits after each token, read in pieces, and all bytes of the state.
  private func read(
    _ model: LanguageModel, _ ids: [Int32], cut: [Int] = [], threads: Int = 1, form: RecurrenceForm = .scan
  ) throws -> (logits: [Float], state: [[UInt8]]) {
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: threads), compute: .fp32)
    let (state, workspace) = (model.makeState(), model.workspace())
    var (rest, sizes, logits) = (ids[...], cut[...], [Float]())
    while !rest.isEmpty {
      let piece = rest.prefix(sizes.popFirst() ?? rest.count)
      try model.advance(
        state, by: piece, kernels: kernels, workspace: workspace, form: form, readout: .each { logits += $1.array() })
      rest = rest.dropFirst(piece.count)
    }
    return (logits, model.layout.regions.map { state.bytes(of: $0) })
  }

  @Test(arguments: fixtures, RecurrenceForm.allCases)
  func agreesWithTheDefinition(fixture: String, form: RecurrenceForm) throws {
    let golden = try Golden(fixture)
    let ids = try golden.integers("input_ids").map { Int32($0) }
    let logits = try read(try model(fixture), ids, form: form).logits
    expectClose(logits, try golden.floats("logits"), fixture)
  }

  /// At once, token by token, in awkward pieces, and with threads that share channels out or take layers in a wavefront.
  @Test(arguments: fixtures)
  func everyCutGivesTheSameBits(fixture: String) throws {
    let model = try model(fixture)
    var generator = SeededGenerator(seed: 21)
    let ids = (0..<1500).map { _ in Int32(truncatingIfNeeded: generator.next() % 40) }
    let whole = try read(model, ids)
    for (cut, threads) in [(Array(repeating: 1, count: 1500), 1), ([127, 1, 128, 300, 512], 1), ([], 2), ([700, 1, 1], 3)] {
      let other = try read(model, ids, cut: cut, threads: threads)
      #expect(other.logits == whole.logits && other.state == whole.state, "\(cut.prefix(5)) with \(threads) threads")
    }
  }

  /// A snapshot in a file resumes to the bit, a fork goes its own way, and another model's snapshot is refused.
  @Test(arguments: fixtures)
  func snapshotsAndForksGoOnToTheBit(fixture: String) async throws {
    let model = try await Model.load(Fixture.path(fixture), engine: Engine(threads: 2))
    var generator = SeededGenerator(seed: 22)
    let ids = (0..<900).map { _ in Int32(truncatingIfNeeded: generator.next() % 40) }
    let session = try Session(model)
    try await session.feed(ids: Array(ids.prefix(333)))
    let folder = TemporaryFolder()
    try await session.snapshot().write(to: folder("state"))
    let fork = try await session.fork()
    try await fork.feed(ids: [1, 2, 3])
    try await session.feed(ids: Array(ids.dropFirst(333)))
    let resumed = try Session(model, from: Snapshot(contentsOf: folder("state")))
    try await resumed.feed(ids: Array(ids.dropFirst(333)))
    #expect(try await resumed.logits() == session.logits())
    #expect(try await resumed.logits() != fork.logits())
    #expect(resumed.position == 900)
    let other = try await Model.load(Fixture.path(fixture == "hyena" ? "hyena-explicit" : "hyena"), engine: Engine(threads: 1))
    let error = #expect(throws: MeanderError.self) { try Session(other, from: Snapshot(contentsOf: folder("state"))) }
    #expect(error?.code == .mismatch)
  }

  /// What is not known, or makes no filter, is refused by name.
  @Test(arguments: [
    ("filter_features", JSON(4)), ("order", JSON(1)), ("filter_length", JSON(1)), ("filter", .string("none")), ("filter_depth", JSON(3)),
    ("layer_types", JSON(["hyena"])),
  ])
  func aWrongConfigurationIsRefused(change: (String, JSON)) throws {
    var members = try #require(try JSON.parse(Fixture.bytes("hyena/config.json")).object).members.map { ($0.key, $0.value) }
    members.removeAll { $0.0 == change.0 }
    let error = #expect(throws: MeanderError.self) {
      _ = try TrainableModel(JSON(members + [change]), file: "config.json", table: .best)
    }
    #expect(error?.description.contains(change.0) == true, "\(String(describing: error))")
  }
}
