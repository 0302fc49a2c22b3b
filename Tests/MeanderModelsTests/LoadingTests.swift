import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct LoadingTests {
  @Test func anUnknownArchitectureIsNamed() {
    let error = #expect(throws: MeanderError.self) {
      let folder = TemporaryFolder()
      try AtomicFile.write(folder("config.json"), bytes: Array(#"{"model_type": "perceptron"}"#.utf8))
      return try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: .fp32)
    }
    #expect(error?.code == .unsupported)
    #expect(error?.description.contains("perceptron") == true)
    #expect(error?.description.contains("mamba2") == true)
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
    #expect(twin.fingerprint == original.fingerprint)
    let other = try LanguageModel.load(Fixture.model("mamba2-defaults"), table: .best, compute: .fp32)
    #expect(twin.fingerprint != other.fingerprint)
  }

  /// A hybrid's configuration as transformers 4 and 5 write it.
  @Test(arguments: ["bamba", "falcon-h1", "granite-hybrid-dense", "granite-moe-hybrid", "nemotron-h", "nemotron-h-moe", "zamba2", "qwen3-next"])
  func oneModelInTwoStylesOfConfigurationIsOneModel(fixture: String) throws {
    let folder = TemporaryFolder()
    for (from, to) in [("config_v4.json", "config.json"), ("model.safetensors", "model.safetensors")] {
      try AtomicFile.write(folder(to), bytes: Fixture.bytes("\(fixture)/\(from)").copy())
    }
    let (one, other) = (try Harness(Fixture.model(fixture)), try Harness(ModelFiles(folder: folder.path)))
    #expect(one.model.fingerprint == other.model.fingerprint)
    let ids = (0..<20).map { Int32($0) }
    #expect(try one.logits(ids).map(\.bitPattern) == other.logits(ids).map(\.bitPattern))
  }

  /// Fixtures' configurations in the words of published checkpoints: keys taken out, and others in their place.
  static let published: [(fixture: String, without: [String], with: [(String, JSON)])] = [
    ("mamba1", [], []), ("falcon-mamba", [], []), ("jamba", [], []), ("xlstm", [], []), ("rwkv4", [], []),
    ("lfm2", ["layer_types", "rope_parameters"], [("full_attn_idxs", .array([JSON(1)])), ("rope_theta", JSON(1e6))]),
    ("minimax", ["rope_parameters"], [("rope_theta", JSON(1e6))]), ("olmo-hybrid", ["rope_parameters"], [("rope_theta", JSON(1e4))]),
    ("recurrent-gemma", ["rope_parameters"], [("rope_theta", JSON(1e4)), ("partial_rotary_factor", JSON(0.5))]),
    (
      "qwen3.5-text", ["layer_types", "rope_parameters"],
      [("full_attention_interval", JSON(4)), ("rope_theta", JSON(1e4)), ("partial_rotary_factor", JSON(0.5))]
    ),
    (
      "kimi-linear",
      ["layer_types", "mlp_layer_types", "linear_num_heads", "linear_head_dim", "linear_conv_kernel_dim", "qk_head_dim"],
      [
        (
          "linear_attn_config",
          JSON([
            ("num_heads", JSON(4)), ("head_dim", JSON(12)), ("short_conv_kernel_size", JSON(4)),
            ("full_attn_layers", .array([JSON(4)])), ("kda_layers", .array([1, 2, 3].map { JSON($0) })),
          ])
        ),
        ("first_k_dense_replace", JSON(1)), ("moe_layer_freq", JSON(1)), ("moe_router_activation_func", .string("sigmoid")),
        ("mla_use_nope", .bool(true)), ("use_grouped_topk", .bool(true)), ("num_nextn_predict_layers", JSON(0)),
        ("rope_theta", JSON(1e4)), ("rope_scaling", .null),
      ]
    ),
  ]

  @Test(arguments: published.indices)
  func thePublishedStyleOfAConfigurationIsTheSameModel(index: Int) throws {
    let (fixture, without, with) = Self.published[index]
    let folder = TemporaryFolder()
    let members = try #require(JSON.parse(Fixture.bytes("\(fixture)/config.json")).object).members
      .filter { !without.contains($0.key) }.map { ($0.key == "dtype" ? "torch_dtype" : $0.key, $0.value) }
    try AtomicFile.write(folder("config.json"), bytes: JSON(members + with).write())
    try AtomicFile.write(folder("model.safetensors"), bytes: Fixture.bytes("\(fixture)/model.safetensors").copy())
    let one = try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
    let other = try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: .fp32)
    #expect(one.fingerprint == other.fingerprint, "\(fixture)")
  }

  /// F16 in three shards, under either style of configuration, is the model that its numbers in F32 are: the same bits.
  @Test(arguments: ["config.json", "config_v4.json"])
  func shardsOfHalvesAreWidenedExactly(configuration: String) throws {
    let store = try TensorStore.open(Fixture.model("mamba2-tied"))
    let (halves, whole) = (TemporaryFolder(), TemporaryFolder())
    var writers = [SafeTensorsWriter(), SafeTensorsWriter(), SafeTensorsWriter()]
    var single = SafeTensorsWriter()
    var map: [(String, JSON)] = []
    for (index, entry) in store.entries.values.sorted(by: { $0.name < $1.name }).enumerated() {
      let values = try store.floats(entry.name).map { Float16($0) }
      let bytes = values.flatMap { value in [UInt8(value.bitPattern & 0xFF), UInt8(value.bitPattern >> 8)] }
      try writers[index % 3].add(entry.name, .f16, entry.shape, bytes: bytes)
      try single.add(entry.name, entry.shape, floats: values.map { Float($0) })
      map.append((entry.name, .string("model-\(index % 3).safetensors")))
    }
    for (index, writer) in writers.enumerated() { try writer.write(to: halves("model-\(index).safetensors")) }
    let index = JSON([("weight_map", JSON(map))])
    try AtomicFile.write(halves("model.safetensors.index.json"), bytes: index.write())
    try single.write(to: whole("model.safetensors"))
    let text = try Fixture.bytes("mamba2-tied/\(configuration)").copy()
    for folder in [halves, whole] { try AtomicFile.write(folder("config.json"), bytes: text) }
    let ids = (0..<70).map { Int32($0) }
    let (one, other) = (try Harness(ModelFiles(folder: halves.path)), try Harness(ModelFiles(folder: whole.path)))
    #expect(try one.logits(ids, cut: [5]).map(\.bitPattern) == other.logits(ids).map(\.bitPattern))
    #expect(one.model.facts.storedType == "F16")
    #expect(one.model.fingerprint == other.model.fingerprint)
  }

  /// The same weights under a configuration that computes something else are another model; under one that
  /// says the same in other words, or what was not said, or something about training, they are the same.
  @Test(arguments: [
    ("mamba2-tied", "layer_norm_epsilon", "1e-6", false), ("mamba2-tied", "time_step_limit", "[0.001, 0.1]", false),
    ("mamba2-tied", "n_groups", "2", false), ("mamba2-tied", "time_step_limit", "null", true),
    ("mamba2-tied", "layer_norm_epsilon", "0.00001", true), ("mamba2-tied", "time_step_max", "7", true),
    ("mamba2-tied", "meander", #"{"purposes": ["recall"], "answer_tokens": 5}"#, true),
    ("mamba1", "layer_norm_epsilon", "1e-6", false), ("mamba1", "time_step_max", "7", true),
  ])
  func theFingerprintCoversTheArithmetic(fixture: String, key: String, value: String, isSame: Bool) throws {
    var members = try #require(JSON.parse(Fixture.bytes("\(fixture)/config.json")).object).members
      .filter { $0.key != key }.map { ($0.key, $0.value) }
    members.append((key, try JSON.parse(FileBytes(Array(value.utf8), path: key))))
    // Two groups of half as many keys each: tensors of the same shapes.
    if key == "n_groups" { members = members.map { $0.0 == "state_size" ? ($0.0, JSON(8)) : $0 } }
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("config.json"), bytes: JSON(members).write())
    try AtomicFile.write(folder("model.safetensors"), bytes: Fixture.bytes("\(fixture)/model.safetensors").copy())
    let changed = try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: .fp32)
    let model = try LanguageModel.load(Fixture.model(fixture), table: .best, compute: .fp32)
    #expect((changed.fingerprint == model.fingerprint) == isSame)
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
