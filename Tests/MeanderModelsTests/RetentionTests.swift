import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// The gauge's retention is what is left of a state: of a first layer's, for its inputs do not depend on it.
@Suite struct RetentionTests {
  @Test(arguments: [
    ("mamba1", "ssm"), ("mamba1-original", "ssm"), ("falcon-mamba", "ssm"), ("mamba2-tied", "ssm"), ("recurrent-gemma", "ssm"),
    ("rwkv6", "wkv"), ("retnet", "ssm"), ("gla", "ssm"), ("hgrn2", "ssm"), ("minimax", "ssm"),
  ])
  func isWhatIsLeft(fixture: String, part: String) throws {
    func state(startingAt value: Float) throws -> (values: [Float], kept: Double) {
      let harness = try Harness(Fixture.model(fixture))
      let name = "layers.0.\(part)"
      let region = try #require(harness.model.layout[name])
      harness.state.matrix(region).fill(value)
      // A square root at the first token of a stream is another one in RG-LRU.
      harness.state.setPosition(1)
      try harness.read(harness.someIDs(3))
      let heads = harness.model.gauge(of: harness.state, kernels: harness.kernels)[0]
      let values = try #require(harness.model.referenceState(harness.state).first { $0.name == name }).values
      return (values, heads.map(\.retention).max() ?? 0)
    }
    let (empty, full) = (try state(startingAt: 0), try state(startingAt: 1))
    let left = zip(full.values, empty.values).map { Double($0) - Double($1) }.max() ?? 0
    #expect(full.kept < 0 && full.kept == empty.kept)
    #expect(abs(left - exponential(full.kept)) < 1e-4, "\(left) where exp(\(full.kept)) was told")
  }
}
