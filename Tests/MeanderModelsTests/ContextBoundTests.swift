import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct ContextBoundTests {
  private static func ids(_ count: Int, vocabulary: Int) -> [Int32] {
    var generator = SeededGenerator(seed: 23)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(vocabulary), using: &generator) }
  }

  @Test(arguments: ["llama-gqa", "llama-rope-scaled-f16-sharded", "qwen2-bias", "qwen3-qknorm", "mistral-window"])
  func bothStylesOfConfigurationAreOneModel(fixture: String) throws {
    let folder = TemporaryFolder()
    for name in ModelFiles(folder: Fixture.path(fixture)).fileNames where name.hasPrefix("model") {
      try AtomicFile.write(folder(name), bytes: Fixture.bytes("\(fixture)/\(name)").copy())
    }
    try AtomicFile.write(folder("config.json"), bytes: Fixture.bytes("\(fixture)/config_v4.json").copy())
    let old = try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: .fp32)
    let new = try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
    #expect(old.fingerprint == new.fingerprint)
  }

  /// Every form agrees far beyond the bound, where the first tokens' distances are capped.
  @Test(arguments: ["llama-gqa", "qwen3-qknorm"])
  func everyFormAgreesBeyondTheBound(fixture: String) throws {
    let bound = ContextBound.bounded(globals: 3, locals: 11)
    let ids = Self.ids(90, vocabulary: 180)
    func logits(_ form: RecurrenceForm, cut: [Int]) throws -> [Float] {
      try Harness(Fixture.model(fixture), context: bound).logits(ids, cut: cut, form: form)
    }
    let naive = try logits(.naive, cut: [])
    expectClose(try logits(.scan, cut: [40, 1]), naive, "scan")
    expectClose(try logits(.chunk, cut: [30, 7]), naive, "chunk")
    // What lies beyond the bound is not seen.
    var other = ids
    other[5] = (ids[5] + 1) % 180
    let changed = try Harness(Fixture.model(fixture), context: bound).logits(other)
    let full = try Harness(Fixture.model(fixture)).logits(other)
    let vocabulary = naive.count / 90
    #expect(changed[..<(5 * vocabulary)] == (try logits(.scan, cut: []))[..<(5 * vocabulary)])
    #expect(changed != full)
  }

  /// A layer sees through the layer below, so what a token changes lasts layers · window tokens, and no longer.
  @Test func aTokenIsForgottenAfterTheWindows() throws {
    let bound = ContextBound.bounded(globals: 2, locals: 8)
    let ids = Self.ids(60, vocabulary: 256)
    var other = ids
    other[20] = (ids[20] + 1) % 256
    let (one, two) = (try Harness(Fixture.model("llama-gqa"), context: bound), try Harness(Fixture.model("llama-gqa"), context: bound))
    let (first, second) = (try one.logits(ids), try two.logits(other))
    func row(_ logits: [Float], _ token: Int) -> [UInt32] { logits[token * 256..<(token + 1) * 256].map(\.bitPattern) }
    #expect(row(first, 27) != row(second, 27))
    for token in 35..<60 { #expect(row(first, token) == row(second, token), "token \(token)") }
  }

  @Test func aFullCacheHasTheBitsOfABoundThatDoesNotBindAndEndsWithAnError() throws {
    let files = Fixture.model("llama-gqa")
    // Two layers of two key heads of 16: 512 bytes a token.
    let full = try Harness(files, context: .full(bytes: 512 * 100))
    let bounded = try Harness(files)
    let ids = Self.ids(96, vocabulary: 256)
    #expect(try full.logits(ids, cut: [70]).map(\.bitPattern) == bounded.logits(ids).map(\.bitPattern))
    #expect(full.model.layout.byteCount < 512 * 100 + 4096)
    let before = full.bits
    let error = #expect(throws: MeanderError.self) { try full.read([1]) }
    #expect(error?.code == .limit && error?.description.contains("96") == true)
    #expect(full.bits == before)
    let small = #expect(throws: MeanderError.self) { try Harness(files, context: .full(bytes: 512)) }
    #expect(small?.code == .limit)
    for bound in [ContextBound.bounded(globals: -1, locals: nil), .bounded(globals: nil, locals: 0), .full(bytes: -4)] {
      let error = #expect(throws: MeanderError.self) { try Harness(files, context: bound) }
      #expect(error?.code == .badRequest)
    }
  }

  /// Loads a fixture under a changed configuration.
  private static func changed(_ fixture: String, _ changes: [(String, Int)]) throws -> LanguageModel {
    let object = try #require(JSON.parse(Fixture.bytes("\(fixture)/config.json")).object)
    let kept = object.members.filter { member in !changes.contains { $0.0 == member.key } }.map { ($0.key, $0.value) }
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("config.json"), bytes: JSON(kept + changes.map { ($0.0, JSON($0.1)) }).write())
    try AtomicFile.write(folder("model.safetensors"), bytes: Fixture.bytes("\(fixture)/model.safetensors").copy())
    return try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: .fp32)
  }

  /// A window that no memory would hold is bounded like none, and sizes that cannot be are refused.
  @Test func aConfigurationCannotAskForTooMuch() throws {
    let wide = try Self.changed("mistral-window", [("sliding_window", 1 << 40), ("max_position_embeddings", 1 << 40)])
    #expect(wide.contextTokens == 16 + 2048)
    #expect(wide.layout.byteCount < 4 << 20)
    for change in [[("num_attention_heads", 65), ("head_dim", 0)], [("num_key_value_heads", 3)], [("head_dim", 1 << 16)]] {
      let error = #expect(throws: MeanderError.self) { try Self.changed("llama-gqa", change) }
      #expect(error?.code == .badData, "\(change)")
    }
    let object = [("num_attention_heads", 65), ("num_key_value_heads", 65)]
    let withoutWidth = #expect(throws: MeanderError.self) { try Self.changed("qwen2-bias", object) }
    #expect(withoutWidth?.description.contains("num_attention_heads") == true)
  }

  @Test func stretchedPositionsAreThePapers() {
    var scaling = RotaryScaling()
    scaling.factor = 4
    scaling.originalLength = 64
    func turns(_ kind: RotaryScaling.Kind) -> [Double] {
      scaling.kind = kind
      return scaling.rotary(width: 8).turns.map { $0 * 2 * Double.pi }
    }
    expectClose(turns(.none), [1, 0.1, 0.01, 0.001], "plain", within: 1e-12)
    expectClose(turns(.dynamic), [1, 0.1, 0.01, 0.001], "dynamic", within: 1e-12)
    expectClose(turns(.linear), [0.25, 0.025, 0.0025, 0.00025], "linear", within: 1e-12)
    // The fastest as it was, the slowest divided by the factor.
    let ntk = turns(.ntk)
    #expect(ntk[0] == 1 && abs(ntk[3] - 0.00025) < 1e-12)
    // transformers' values for the same setting.
    expectClose(turns(.yarn), [1, 0.0625, 0.0025, 0.00025], "yarn", within: 1e-12)
    #expect(abs(scaling.rotary(width: 8).magnitude - 1.138629436) < 1e-6)
    (scaling.lowFactor, scaling.highFactor) = (1, 4)
    // Waves of 6.3, 63 and longer than 64 tokens.
    let share = (64 / (2 * Double.pi / 0.1) - 1) / 3
    expectClose(turns(.llama3), [1, (1 - share) * 0.025 + share * 0.1, 0.0025, 0.00025], "llama3", within: 1e-12)
  }
}
