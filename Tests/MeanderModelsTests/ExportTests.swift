import MeanderFiles
import MeanderTestSupport
import Testing

/// A model that our trainer made and exported, against what transformers makes of the same folder.
@Suite struct ExportTests {
  @Test func transformersComputesTheSameLogits() throws {
    let golden = try Golden("exported")
    let harness = try Harness(ModelFiles(folder: Fixture.path("../../Models/tiny")))
    let ids = try golden.integers("input_ids").map { Int32($0) }
    #expect(ids.count > 60)
    expectClose(try harness.logits(ids), try golden.floats("logits"), "logits")
  }
}
