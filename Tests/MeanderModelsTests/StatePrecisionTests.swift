import MeanderErrors
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
    return Harness(try plain.model.keepingStates(in: precision), like: plain)
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

  private static let cuts: [(String, StatePrecision)] =
    recurrent.map { ($0, .bf16) } + ["mamba2-tied", "mamba2-groups", "falcon-h1", "mamba1"].map { ($0, .compensated) }

  @Test(arguments: cuts) func bitsDoNotDependOnTheCut(fixture: String, precision: StatePrecision) throws {
    let whole = try harness(fixture, precision)
    let parts = try harness(fixture, precision, threads: 1)
    let ids = ids(whole, 1100)
    try whole.read(ids)
    try parts.read(ids, cut: [1, 500, 13, 300, 211])
    #expect(whole.bits == parts.bits)
  }

  @Test(arguments: ["mamba2-tied", "falcon-h1"]) func compensatedSumsKeepWhatIsRoundedAway(fixture: String) throws {
    let (plain, kept) = (try harness(fixture, .fp32), try harness(fixture, .compensated))
    let ids = ids(plain, 300)
    for harness in [plain, kept] { try harness.read(ids) }
    let (sums, rests) = (numbers(kept, .recurrence), numbers(kept, .rest))
    #expect(rests.count == sums.count && rests.contains { $0 != 0 })
    for (sum, rest) in zip(sums, rests) { #expect(abs(rest) <= abs(sum).ulp) }
    #expect(numbers(plain, .recurrence) != sums)
    expectClose(numbers(plain, .recurrence), sums, fixture)
  }

  @Test func whatHasNoSuchSumsIsRefused() throws {
    for fixture in ["rwkv6", "llama-gqa"] {
      let error = #expect(throws: MeanderError.self) { try harness(fixture, .compensated) }
      #expect(error?.code == .unsupported && error?.what.contains("Mamba-2") == true)
    }
    // It keeps its rests whatever is asked for.
    #expect(try harness("mamba1", .compensated).model.layout.byteCount == harness("mamba1", .fp32).model.layout.byteCount)
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
