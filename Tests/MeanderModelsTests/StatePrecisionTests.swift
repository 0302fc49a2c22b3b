import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// States that are rounded to bf16 on the stream's grid.
@Suite struct StatePrecisionTests {
  private static let recurrent = [
    "mamba2-tied", "mamba1", "rwkv4", "rwkv6", "rwkv7", "xlstm", "lstm", "recurrent-gemma", "minimax", "qwen3-next", "falcon-h1",
  ]

  private func harness(_ fixture: String, _ precision: StatePrecision, threads: Int = 2) throws -> Harness {
    let plain = try Harness(Fixture.model(fixture), threads: threads)
    return Harness(plain.model.keepingStates(in: precision), like: plain)
  }

  private func ids(_ harness: Harness, _ count: Int) -> [Int32] {
    (0..<count).map { Int32($0 * 7919 % harness.model.facts.vocabulary) }
  }

  /// The numbers of all regions of a role.
  private func numbers(_ harness: Harness, _ role: StateRegion.Role) -> [Float] {
    harness.model.layout.regions.filter { $0.role == role }.flatMap { harness.state.matrix($0).array() }
  }

  @Test(arguments: recurrent) func sumsAreRoundedOnTheGridAndNowhereElse(fixture: String) throws {
    let (full, rounded) = (try harness(fixture, .fp32), try harness(fixture, .bf16))
    let ids = ids(full, 513)
    for harness in [full, rounded] { try harness.read(Array(ids[..<511])) }
    #expect(full.bits == rounded.bits)
    for harness in [full, rounded] { try harness.read([ids[511]]) }
    let (before, after) = (numbers(full, .recurrence), numbers(rounded, .recurrence))
    #expect(!before.isEmpty && before != after)
    for (exact, near) in zip(before, after) {
      #expect(near.bitPattern & 0xffff == 0)
      #expect(abs(exact - near) <= abs(exact) * 0x1p-8)
    }
    #expect(numbers(rounded, .rest).allSatisfy { $0 == 0 })
    // Nothing is lost but what rounding takes: windows and decays are the same.
    for region in full.model.layout.regions where region.role == .other {
      #expect(full.state.bytes(of: region) == rounded.state.bytes(of: region), "\(region.name)")
    }
    for harness in [full, rounded] { try harness.read([ids[512]]) }
    #expect(try full.finalLogits() != rounded.finalLogits())
  }

  @Test(arguments: recurrent) func bitsDoNotDependOnTheCut(fixture: String) throws {
    let whole = try harness(fixture, .bf16)
    let parts = try harness(fixture, .bf16, threads: 1)
    let ids = ids(whole, 1100)
    try whole.read(ids)
    try parts.read(ids, cut: [1, 500, 13, 300, 211])
    #expect(whole.bits == parts.bits)
  }

  @Test func mitigationsAndPrecisionGoTogether() throws {
    let plain = try Harness(Fixture.model("mamba2-tied"))
    let cure = [try Mitigation("rri:retention=0.99")]
    let first = try plain.model.keepingStates(in: .bf16).mitigated(by: cure)
    let second = try plain.model.mitigated(by: cure).keepingStates(in: .bf16)
    for model in [first, second] { #expect(model.plan.precision == .bf16 && model.plan.mitigations == cure) }
    #expect(try first.mitigated(by: []).plan.precision == .bf16)
    let harnesses = [first, second].map { Harness($0, like: plain) }
    let ids = ids(plain, 600)
    for harness in harnesses { try harness.read(ids) }
    #expect(harnesses[0].bits == harnesses[1].bits)
  }
}
