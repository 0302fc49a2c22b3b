import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// Any cut, any number of threads, any instruction table (fp32), any piece size: the same bits.
@Suite struct SameBitsTests {
  private static func ids(_ model: LanguageModel, _ count: Int) -> [Int32] {
    var generator = SeededGenerator(seed: 17)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(model.facts.vocabulary), using: &generator) }
  }

  @Test(arguments: GoldenModel.all, Compute.allCases)
  func theCutDoesNotMatter(model: GoldenModel, compute: Compute) throws {
    let whole = try Harness(model.files, compute: compute)
    let ids = Self.ids(whole.model, 1200)
    try whole.read(ids)
    for (cut, threads, size) in [
      ([1, 511, 1, 2, 3], 1, 512), ([Int](repeating: 7, count: 300), 2, 64), ([600, 1], 3, 33)
    ] {
      let other = try Harness(model.files, compute: compute, threads: threads, maximumTokens: size)
      try other.read(ids, cut: cut)
      #expect(other.bits == whole.bits, "cut \(cut.prefix(5)), \(threads) threads, pieces of \(size)")
      #expect(try other.finalLogits().map(\.bitPattern) == whole.finalLogits().map(\.bitPattern))
    }
  }

  @Test(arguments: GoldenModel.all)
  func lookingDoesNotMatter(model: GoldenModel) throws {
    let silent = try Harness(model.files)
    let ids = Self.ids(silent.model, 700)
    try silent.read(ids)
    let watched = try Harness(model.files)
    let logits = try watched.logits(ids, cut: [5, 200])
    #expect(watched.bits == silent.bits)
    #expect(
      logits.suffix(silent.model.facts.vocabulary).map(\.bitPattern) == (try silent.finalLogits().map(\.bitPattern)))
  }

  @Test(arguments: GoldenModel.all)
  func theInstructionTableDoesNotMatter(model: GoldenModel) throws {
    let best = try Harness(model.files)
    let ids = Self.ids(best.model, 130)
    try best.read(ids)
    for table in KernelTable.all + KernelTable.forTests {
      let other = try Harness(model.files, table: table)
      try other.read(ids, cut: [50])
      #expect(other.bits == best.bits, "\(table.name) against \(best.kernels.table.name)")
    }
  }

  /// What a snapshot does: a state is its regions' bytes and its position, and goes on from them. Its gauge reads the same.
  @Test(arguments: GoldenModel.all)
  func aStateMadeOfItsBytesGoesOn(model: GoldenModel) throws {
    let harness = try Harness(model.files)
    let ids = Self.ids(harness.model, 120)
    try harness.read(Array(ids[..<70]))
    let resumed = try Harness(model.files)
    for region in harness.model.layout.regions {
      try resumed.state.setBytes(of: region, harness.state.bytes(of: region))
    }
    resumed.state.setPosition(harness.state.position)
    #expect(
      resumed.model.gauge(of: resumed.state, kernels: resumed.kernels)
        == harness.model.gauge(of: harness.state, kernels: harness.kernels))
    let fork = harness.state.copy()
    try harness.read(Array(ids[70...]), cut: [7])
    try resumed.read(Array(ids[70...]))
    #expect(resumed.bits == harness.bits)
    try harness.model.advance(fork, by: ids[70...], kernels: harness.kernels, workspace: harness.workspace)
    #expect(harness.model.layout.regions.map { fork.bytes(of: $0) } == harness.bits)
  }

  @Test func aCopyIsIndependent() throws {
    let harness = try Harness(Fixture.model("mamba2-tied"))
    let ids = Self.ids(harness.model, 100)
    try harness.read(ids)
    let copy = harness.state.copy()
    let before = harness.bits
    try harness.model.advance(copy, by: ids[...], kernels: harness.kernels, workspace: harness.workspace)
    #expect(harness.bits == before)
    #expect(copy.position == 200)
    copy.assign(harness.state)
    #expect(harness.model.layout.regions.map { copy.bytes(of: $0) } == before)
  }
}
