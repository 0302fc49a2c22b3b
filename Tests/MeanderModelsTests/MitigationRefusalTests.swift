import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// What cannot be, and why.
@Suite struct MitigationRefusalTests {
  private func refusal(_ texts: [String], of fixture: String = "mamba2-groups") throws -> MeanderError? {
    let model = try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
    return #expect(throws: MeanderError.self, "\(texts)") { try model.mitigated(by: texts.map { try Mitigation($0) }) }
  }

  /// The same, or nil where the model takes them.
  private func refusal(_ texts: [String], orNone fixture: String) throws -> MeanderError? {
    let model = try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
    do { _ = try model.mitigated(by: texts.map { try Mitigation($0) }) } catch let error as MeanderError { return error }
    return nil
  }

  @Test(arguments: [
    ("windows", "window"), ("rri:retension=1", "retention"), ("rri:retention", "rri:retention=0.9999"),
    ("rri:retention=fast", "a number"), ("rri:retention=1,retention=1", "twice"), ("rri:retention=2", "0.01 to 1"),
    ("rri:retention=nan", "a number"), ("window:form=sliding", "two-stack"), ("window:length=100", "multiple of the grid"),
    ("window:length=0", "more than 0"), ("window:length=512,grid=100", "power of two"), ("window:length=512,fade=512", "fade"),
    ("window:length=99999999999999999999", "tokens"), ("reset:every=512,keep=1024", "at most that"), ("reset", "trained_length"),
    ("auto", "trained_length"), ("state-norm", "trained"), ("state-norm:cap=-1", "must lie"), ("dt-scale:scale=0", "must lie"),
    ("token-filter:threshold=-1", "must lie"), ("auto:patience=0", "trained_length"), ("", "Known"), (":", "Known"),
    ("window:length=2048M,form=two-stack,grid=16", "staggered"), ("reset:every=0", "more than 0"),
    ("reset:every=512,keep=64,fade=64", "less than keep"), ("state-norm:cap=1,grid=0", "power of two"), ("window:grid=0", "power of two"),
  ])
  func isNamed(_ text: String, _ reason: String) throws {
    let error = try refusal([text])
    #expect(error?.description.contains(reason) == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test func twoThatExcludeEachOther() throws {
    let error = try refusal(["window:length=512", "reset:every=1024"])
    #expect(error?.what.contains("window:length=512") == true)
    #expect(try refusal(["rri", "rri:insertion=1"])?.what.contains("twice") == true)
  }

  @Test(arguments: ["window:length=512", "window:form=subtractive", "state-norm:cap=1", "reset:every=512", "a-scale:form=power"])
  func mamba1SaysWhy(_ text: String) throws {
    let error = try refusal([text], of: "mamba1")
    #expect(error?.code == .unsupported && error?.what.contains("layer 0") == true, "\(error.map { "\($0)" } ?? "")")
  }

  @Test(arguments: ["rri:retention=0.99", "dt-scale:scale=0.4", "a-scale:scale=3", "token-filter:threshold=0.3"])
  func mamba1TakesWhatIsLocalToAToken(_ text: String) throws {
    let plain = try Harness(Fixture.model("mamba1"))
    let ids = plain.someIDs(200)
    try plain.read(ids)
    let scan = try Harness(Fixture.model("mamba1"), [Mitigation(text)])
    let naive = try Harness(Fixture.model("mamba1"), [Mitigation(text)])
    let cut = try Harness(Fixture.model("mamba1"), [Mitigation(text)], maximumTokens: 9)
    let expected = try scan.logits(ids)
    expectClose(try naive.logits(ids, form: .naive), expected, "logits under \(text)")
    try cut.read(ids, cut: [3, 50])
    #expect(cut.bits == scan.bits)
    #expect(relativeError(scan.recurrence(0), plain.recurrence(0)) > 0.01)
  }

  @Test(arguments: [
    ("rwkv4", "rri"), ("rwkv4", "window:length=512"), ("rwkv6", "dt-scale:scale=0.5"), ("rwkv7-hf", "window:length=512,form=subtractive"),
    ("xlstm", "window:length=512"), ("qwen3-next", "window:length=512,form=two-stack"), ("minimax", "state-norm:cap=1"),
    ("recurrent-gemma", "window:length=512"), ("kimi-linear", "reset:every=512"), ("retnet", "rri"), ("gla", "state-norm:cap=1"),
    ("hgrn2", "dt-scale:scale=0.5"), ("delta-net", "window:length=512,form=subtractive"), ("gated-deltanet", "reset:every=512"),
    ("mamba3", "a-scale:scale=2"),
  ])
  func theFamilySaysWhy(fixture: String, text: String) throws {
    let error = try refusal([text], of: fixture)
    #expect(error?.code == .unsupported && error?.what.contains("layer 0") == true, "\(error.map { "\($0)" } ?? "")")
    // Where a window's staggered form works, the refusal of another says so.
    if text.hasPrefix("window"), try refusal(["window:length=512"], orNone: fixture) == nil {
      #expect(error?.remedy?.contains("staggered") == true, "\(error?.remedy ?? "")")
    }
  }

  /// The staggered window exchanges states, and asks nothing of how they move: of two streams that differ before the window alone,
  /// the first layer remembers the same.
  @Test(arguments: [
    "rwkv6", "rwkv7-hf", "qwen3-next", "kimi-linear", "minimax", "granite-moe-hybrid", "retnet", "gla", "delta-net",
    "gated-deltanet",
  ])
  func aStaggeredWindowWorksForAnyHeads(fixture: String) throws {
    let window = try Mitigation("window:length=64,grid=16,fade=0")
    func harness(_ mitigations: [Mitigation], pieces: Int = LanguageModel.grid) throws -> Harness {
      try Harness(Fixture.model(fixture), mitigations, maximumTokens: pieces)
    }
    let all = try harness([]).someIDs(192)
    // They differ in the first 56 tokens: a convolution or a shift still holds the last ones before the window.
    let (one, tail) = (Array(all[..<128]), Array(all[128..<184] + all[56..<128]))
    func first(_ ids: [Int32], _ mitigations: [Mitigation]) throws -> [Float] {
      let harness = try harness(mitigations)
      try harness.read(ids)
      let state = harness.model.referenceState(harness.state).first {
        ["layers.0.ssm", "layers.0.wkv"].contains($0.name)
      }
      return try #require(state).values
    }
    expectClose(try first(tail, [window]), try first(one, [window]), "the first layer")
    #expect(relativeError(try first(tail, []), try first(one, [])) > 1e-4)
    let scan = try harness([window])
    let expected = try scan.logits(one)
    expectClose(try harness([window]).logits(one, form: .naive), expected, "logits of the naive form")
    expectClose(try harness([window]).logits(one, form: .chunk), expected, "logits of the chunked form")
    let cut = try harness([window], pieces: 9)
    try cut.read(one, cut: [3, 50])
    #expect(cut.bits == scan.bits)
  }

  @Test func valuesForAnotherShape() throws {
    let model = try LanguageModel.load(Fixture.model("mamba2-groups"), table: .best, compute: .fp32)
    #expect(throws: MeanderError.self) { try model.mitigated(by: [.timeStepScale(layers: [0.5, 0.6])]) }
    _ = try model.mitigated(by: [.timeStepScale(layers: [0.5, 0.6, 0.7])])
  }
}
