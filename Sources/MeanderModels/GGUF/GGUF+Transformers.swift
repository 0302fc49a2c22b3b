import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Llama, and Mistral, whose files call themselves so.
  static let llama: GGUFArchitecture = {
    @Sendable func model(_ architecture: any Architecture) -> Transformer? {
      architecture is Llama || architecture is Mistral ? (architecture as? any TransformerArchitecture)?.transformer : nil
    }
    var names = GGUFArchitecture(
      "llama", tensors: transformer(query: .queries, key: .keys),
      settings: { try model($0)?.ggufSettings(holdsDivisors: true) }
    ) { settings in
      try transformer(&settings, "llama", holdsDivisors: true) + [
        ("attention_bias", .bool(settings.has("blk.0.attn_q.bias"))), ("mlp_bias", .bool(settings.has("blk.0.ffn_up.bias"))),
      ]
    }
    names.told = [divisors]
    names.constants = { architecture in
      guard let model = model(architecture), model.scaling.isDivided, let rotary = model.attention.positions.rotary else { return [] }
      return [(divisors, model.scaling.divisors(width: rotary.width).map { Float($0) })]
    }
    return names
  }()

  /// What the frequencies of rotary pairs are divided by: the rule of Llama 3, worked out when the file was written.
  private static let divisors = "rope_freqs.weight"

  static let qwen2 = GGUFArchitecture(
    "qwen2", tensors: transformer(), settings: { try ($0 as? Qwen2)?.transformer.ggufSettings() }
  ) { settings in
    try transformer(&settings, "qwen2")
  }

  static let qwen3 = GGUFArchitecture(
    "qwen3",
    tensors: transformer() + [
      GGUFTensor("blk.#.attn_q_norm.weight", "model.layers.#.self_attn.q_norm.weight"),
      GGUFTensor("blk.#.attn_k_norm.weight", "model.layers.#.self_attn.k_norm.weight"),
    ], settings: { try ($0 as? Qwen3)?.transformer.ggufSettings() }
  ) { settings in
    try transformer(&settings, "qwen3") + [("attention_bias", .bool(settings.has("blk.0.attn_q.bias")))]
  }

  /// The names that transformers of Llama's kind share.
  private static func transformer(query: GGUFTensor.Form = .same, key: GGUFTensor.Form = .same) -> [GGUFTensor] {
    [
      GGUFTensor("token_embd.weight", "model.embed_tokens.weight"), GGUFTensor("output_norm.weight", "model.norm.weight"),
      GGUFTensor("output.weight", "lm_head.weight"),
      GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"),
      GGUFTensor("blk.#.ffn_norm.weight", "model.layers.#.post_attention_layernorm.weight"),
    ] + GGUFTensor.attention("model.layers.#.self_attn.", query: query, key: key) + GGUFTensor.feedForward("model.layers.#.mlp.")
  }

  /// What their configurations share.
  private static func transformer(
    _ settings: inout GGUFSettings, _ type: String, holdsDivisors: Bool = false
  ) throws -> [(String, JSON)] {
    try settings.require("expert_count", 0)
    settings.ignore(["vocab_size", "expert_used_count"])
    let attention = try GGUFAttention(&settings)
    try settings.require("rope.dimension_count", attention.headWidth)
    var members: [(String, JSON)] =
      try [
        ("model_type", .string(type)), ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
      ] + attention.members(&settings)
    var scaling = try scaling(&settings)
    if holdsDivisors, let entry = settings.tensors[divisors] {
      guard scaling == nil else {
        throw settings.unsupported("rope.scaling.type", "stands beside a tensor \(divisors), and frequencies are stretched in one way")
      }
      guard entry.count == attention.headWidth / 2 else {
        throw MeanderError(
          .badData, "the tensor \(divisors) has \(entry.count) numbers for \(attention.headWidth / 2) rotary pairs",
          at: settings.metadata.path)
      }
      scaling = JSON([
        ("rope_type", .string(RotaryScaling.Kind.divided.rawValue)),
        ("divisors", .array(try settings.numbers(divisors).map { JSON(Double($0)) })),
      ])
    }
    if let scaling { members.append(("rope_scaling", scaling)) }
    return members
  }

  /// How rotary positions are stretched.
  private static func scaling(_ settings: inout GGUFSettings) throws -> JSON? {
    let kind = try settings.optionalText("rope.scaling.type")
    let factor = try settings.optionalFloat("rope.scaling.factor")
    let original = try settings.optionalInteger("rope.scaling.original_context_length")
    settings.ignore(["rope.scaling.finetuned"])
    switch kind {
    case nil, "none": return nil
    case "linear", "yarn":
      guard let kind, let factor else { throw settings.failure("rope.scaling.factor", "is missing") }
      var members: [(String, JSON)] = [("rope_type", .string(kind)), ("factor", JSON(factor))]
      if kind == "yarn", let original { members.append(("original_max_position_embeddings", JSON(original))) }
      return JSON(members)
    case let kind?: throw settings.unsupported("rope.scaling.type", "is \"\(kind)\", which is not understood")
    }
  }
}

extension GGUFTensor {
  /// Attention's projections, whose names begin with `prefix`.
  static func attention(
    _ prefix: String, query: Form = .same, key: Form = .same, output: String = "o_proj"
  ) -> [GGUFTensor] {
    [("attn_q", "q_proj", query), ("attn_k", "k_proj", key), ("attn_v", "v_proj", .same), ("attn_output", output, .same)]
      .flatMap { stored, name, form in
        ["weight", "bias"].map { GGUFTensor("blk.#.\(stored).\($0)", "\(prefix)\(name).\($0)", form) }
      }
  }

  /// A gated feed-forward's projections, whose names begin with `prefix`; `kind` is what files add to their names.
  static func feedForward(
    _ prefix: String, kind: String = "", gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj"
  ) -> [GGUFTensor] {
    [("ffn_gate", gate), ("ffn_up", up), ("ffn_down", down)].flatMap { stored, name in
      ["weight", "bias"].map { GGUFTensor("blk.#.\(stored)\(kind).\($0)", "\(prefix)\(name).\($0)") }
    }
  }

  /// Experts, whose names begin with `prefix` and a number.
  static func experts(_ prefix: String) -> [GGUFTensor] {
    ["gate", "up", "down"].map { GGUFTensor("blk.#.ffn_\($0)_exps.weight", "\(prefix)@.\($0)_proj.weight", .expert) }
  }
}

/// What a file says of a model that attends, in some layers at least.
struct GGUFAttention {
  let width, layers, heads, headWidth: Int
  /// Per layer; 0 where it does not attend.
  let keyHeads: [Int]

  init(_ settings: inout GGUFSettings) throws {
    width = try settings.integer("embedding_length")
    heads = try settings.integer("attention.head_count")
    guard width > 0, heads > 0 else { throw settings.failure("attention.head_count", "is \(heads), for a width of \(width)") }
    headWidth = try settings.optionalInteger("attention.key_length") ?? width / heads
    try settings.require("attention.value_length", headWidth)
    layers = try settings.layers()
    keyHeads = try settings.counts("attention.head_count_kv", layers: layers) ?? Array(repeating: heads, count: layers)
    if let other = keyHeads.first(where: { $0 != 0 && $0 != keyHeads.max() }) {
      throw settings.unsupported("attention.head_count_kv", "is \(other) in one layer and more in another")
    }
  }

  /// The members of a configuration that tell of the attention and of what stands around the layers.
  func members(_ settings: inout GGUFSettings) throws -> [(String, JSON)] {
    let members: [(String, JSON)] = [
      ("hidden_size", JSON(width)), ("num_hidden_layers", JSON(layers)), ("vocab_size", JSON(try settings.vocabulary())), ("num_attention_heads", JSON(heads)),
      ("num_key_value_heads", JSON(max(1, keyHeads.max() ?? 1))), ("head_dim", JSON(headWidth)),
      ("rms_norm_eps", JSON(try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? 1e-5)),
      ("rope_theta", JSON(try settings.optionalFloat("rope.freq_base") ?? 10_000)), ("hidden_act", .string("silu")),
      ("tie_word_embeddings", .bool(!settings.has("output.weight"))),
    ]
    let length = try settings.optionalInteger("context_length")
    return members + (length.map { [("max_position_embeddings", JSON($0))] } ?? [])
  }
}

extension Transformer {
  /// What files say of a transformer. Throws `.unsupported` for what they have no word for.
  ///
  /// - Parameters:
  ///   - attends: of a hybrid, whether each layer does.
  ///   - holdsDivisors: whether files of its architecture can hold what the frequencies of rotary pairs are divided by.
  func ggufSettings(
    attends: [Bool]? = nil, feedForward: Int? = nil, holdsDivisors: Bool = false
  ) throws -> GGUFArchitecture.Settings {
    func refuse(_ what: String) -> MeanderError {
      MeanderError(.unsupported, "\(what), of which GGUF files of its architecture do not tell", at: "the model")
    }
    if windows.contains(where: { $0 != nil }) { throw refuse("it has sliding windows") }
    if attention.softplus != nil || attention.hasPrefix || (shape.intent.attention?.positions ?? .rotary) != .rotary { throw refuse("its attention is Meander's own") }
    if let rotary = attention.positions.rotary, rotary.width != attention.headWidth, attends == nil {
      throw refuse("only a part of each head is turned by position")
    }
    let keys = attention.keyHeads
    var settings: GGUFArchitecture.Settings = [
      ("context_length", .count(positions)), ("embedding_length", .count(shape.width)), ("block_count", .count(shape.layers)),
      ("feed_forward_length", .count(feedForward ?? self.feedForward.inner)), ("attention.head_count", .count(attention.heads)),
      ("attention.head_count_kv", attends.map { .counts($0.map { $0 ? keys : 0 }) } ?? .count(keys)),
      ("attention.key_length", .count(attention.headWidth)), ("attention.value_length", .count(attention.headWidth)),
      ("attention.layer_norm_rms_epsilon", .number(Double(epsilon))), ("vocab_size", .count(shape.vocabulary)),
      ("rope.freq_base", .number(scaling.base)),
      ("rope.dimension_count", .count(attention.positions.rotary?.width ?? attention.headWidth)),
    ]
    switch scaling.kind {
    case .none, .dynamic: break
    case _ where holdsDivisors && scaling.isDivided: break
    case .linear: settings += [("rope.scaling.type", .text("linear")), ("rope.scaling.factor", .number(scaling.factor))]
    case .yarn
    where scaling.attentionFactor == nil && (scaling.betaFast, scaling.betaSlow) == (32, 1) && scaling.isTruncated:
      settings += [
        ("rope.scaling.type", .text("yarn")), ("rope.scaling.factor", .number(scaling.factor)),
        ("rope.scaling.original_context_length", .count(Int(scaling.originalLength))),
      ]
    default: throw refuse("its rotary positions are stretched in the way \"\(scaling.kind.rawValue)\"")
    }
    return settings
  }
}
