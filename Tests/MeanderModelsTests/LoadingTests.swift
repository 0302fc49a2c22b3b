import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct LoadingTests {
  @Test func anUnknownArchitectureIsNamed() {
    let error = #expect(throws: MeanderError.self) {
      try LanguageModel.load(Fixture.model("llama-rope-scaled-f16-sharded"), table: .best, compute: .fp32)
    }
    #expect(error?.code == .unsupported)
    #expect(error?.description.contains("llama") == true)
  }

  @Test func idsOutsideTheVocabularyMoveNothing() throws {
    let harness = try Harness(Fixture.model("mamba2-groups"))
    try harness.read([1, 2, 3])
    let before = harness.bits
    let error = #expect(throws: MeanderError.self) { try harness.read([4, 200, 5]) }
    #expect(error?.code == .badRequest)
    #expect(error?.place == "token 4")
    #expect(harness.bits == before)
  }

  @Test func logitsBeforeAnyTokenAreRefused() throws {
    let harness = try Harness(Fixture.model("mamba2-groups"))
    #expect(throws: MeanderError.self) { try harness.finalLogits() }
  }

  @Test func theLimitIsHeldBeforeAnythingIsAllocated() {
    let error = #expect(throws: MeanderError.self) {
      try LanguageModel.load(Fixture.model("mamba2-tied"), table: .best, compute: .fp32, memoryLimit: 1000)
    }
    #expect(error?.code == .limit)
  }

  @Test func oneModelInTwoLayoutsIsOneModel() throws {
    let twin = try LanguageModel.load(Fixture.model("mamba2-tied"), table: .best, compute: .fp32)
    let original = try LanguageModel.load(Fixture.model("mamba2-tied-original"), table: .best, compute: .fp32)
    #expect(twin.facts.parameters == original.facts.parameters)
    let other = try LanguageModel.load(Fixture.model("mamba2-defaults"), table: .best, compute: .fp32)
    #expect(twin.fingerprint != other.fingerprint)
    #expect(twin.fingerprint == (try LanguageModel.load(Fixture.model("mamba2-tied"), table: .best, compute: .fp32).fingerprint))
  }

  @Test func theGateTransformsIdentityIsNothing() throws {
    let plain = try Harness(Fixture.model("mamba2-groups"))
    let ids = (0..<90).map { Int32($0) }
    try plain.read(ids)
    let same = try Harness(Fixture.model("mamba2-groups"))
    let identity = [[GateTransform]](repeating: .init(repeating: .identity, count: 6), count: 3)
    try same.model.advance(same.state, by: ids[...], kernels: same.kernels, workspace: same.workspace, gates: identity)
    #expect(same.bits == plain.bits)
  }

  @Test(arguments: RecurrenceForm.allCases)
  func theGateTransformIsTheSameInEveryForm(form: RecurrenceForm) throws {
    var transform = GateTransform()
    transform.timeStepScale = 0.5
    transform.threshold = 0.04
    transform.rateScale = 0.7
    transform.logRetention = -0.001
    transform.insertion = 0.75
    let gates = [[GateTransform]](repeating: .init(repeating: transform, count: 6), count: 3)
    let ids = (0..<90).map { Int32($0) }
    var results: [[Float]] = []
    for form in [RecurrenceForm.scan, form] {
      let harness = try Harness(Fixture.model("mamba2-groups"))
      try harness.model.advance(
        harness.state, by: ids[...], kernels: harness.kernels, workspace: harness.workspace, form: form, gates: gates)
      results.append(harness.model.referenceState(harness.state).flatMap(\.values))
    }
    expectClose(results[1], results[0], "states under the transform")
    let plain = try Harness(Fixture.model("mamba2-groups"))
    try plain.read(ids)
    let untouched = plain.model.referenceState(plain.state).flatMap(\.values)
    #expect(relativeError(results[0], untouched) > 0.05)
  }
}
