import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Llama, and Mistral, whose files call themselves so.
  static let llama = GGUFArchitecture(
    "llama", tensors: transformer(query: .queries, key: .keys), settings: { _ in nil }
  ) { settings in
    try transformer(&settings, "llama") + [
      ("attention_bias", .bool(settings.has("blk.0.attn_q.bias"))), ("mlp_bias", .bool(settings.has("blk.0.ffn_up.bias"))),
    ]
  }

  static let qwen2 = GGUFArchitecture(
    "qwen2", tensors: transformer(query: .same, key: .same), settings: { _ in nil }
  ) { settings in
    try transformer(&settings, "qwen2")
  }

  static let qwen3 = GGUFArchitecture(
    "qwen3",
    tensors: transformer(query: .same, key: .same) + [
      Tensor("blk.#.attn_q_norm.weight", "model.layers.#.self_attn.q_norm.weight"),
      Tensor("blk.#.attn_k_norm.weight", "model.layers.#.self_attn.k_norm.weight"),
    ], settings: { _ in nil }
  ) { settings in
    try transformer(&settings, "qwen3") + [("attention_bias", .bool(settings.has("blk.0.attn_q.bias")))]
  }

  /// The names that transformers of Llama's kind share.
  private static func transformer(query: Form, key: Form) -> [Tensor] {
    let pairs: [(String, String, Form)] = [
      ("attn_q", "self_attn.q_proj", query), ("attn_k", "self_attn.k_proj", key), ("attn_v", "self_attn.v_proj", .same),
      ("attn_output", "self_attn.o_proj", .same), ("ffn_gate", "mlp.gate_proj", .same), ("ffn_up", "mlp.up_proj", .same),
      ("ffn_down", "mlp.down_proj", .same),
    ]
    return [
      Tensor("token_embd.weight", "model.embed_tokens.weight"), Tensor("output_norm.weight", "model.norm.weight"),
      Tensor("output.weight", "lm_head.weight"),
      Tensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"),
      Tensor("blk.#.ffn_norm.weight", "model.layers.#.post_attention_layernorm.weight"),
    ]
      + pairs.flatMap { stored, name, form in
        ["weight", "bias"].map { Tensor("blk.#.\(stored).\($0)", "model.layers.#.\(name).\($0)", form) }
      }
  }

  /// What their configurations share.
  private static func transformer(_ settings: inout GGUFSettings, _ type: String) throws -> [(String, JSON)] {
    let width = try settings.integer("embedding_length")
    let heads = try settings.integer("attention.head_count")
    guard width > 0, heads > 0 else { throw settings.failure("attention.head_count", "is \(heads), for a width of \(width)") }
    let headWidth = try settings.optionalInteger("attention.key_length") ?? width / heads
    for (key, expected) in [("attention.value_length", headWidth), ("rope.dimension_count", headWidth), ("expert_count", 0)] {
      guard let value = try settings.optionalInteger(key), value != expected else { continue }
      throw MeanderError(
        .unsupported, "\(type).\(key) is \(value); models where it is not \(expected) are not understood",
        at: settings.metadata.path)
    }
    settings.ignore(["vocab_size", "expert_used_count"])
    var members: [(String, JSON)] = [
      ("model_type", .string(type)), ("hidden_size", JSON(width)),
      ("num_hidden_layers", JSON(try settings.integer("block_count"))), ("vocab_size", JSON(try settings.vocabulary())),
      ("num_attention_heads", JSON(heads)),
      ("num_key_value_heads", JSON(try settings.optionalInteger("attention.head_count_kv") ?? heads)),
      ("head_dim", JSON(headWidth)), ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
      ("rms_norm_eps", JSON(try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? 1e-5)),
      ("rope_theta", JSON(try settings.optionalFloat("rope.freq_base") ?? 10_000)),
      ("hidden_act", .string("silu")), ("tie_word_embeddings", .bool(!settings.has("output.weight"))),
    ]
    if let length = try settings.optionalInteger("context_length") { members.append(("max_position_embeddings", JSON(length))) }
    if let scaling = try scaling(&settings, type) { members.append(("rope_scaling", scaling)) }
    return members
  }

  /// How rotary positions are stretched.
  private static func scaling(_ settings: inout GGUFSettings, _ type: String) throws -> JSON? {
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
    case let kind?:
      throw MeanderError(
        .unsupported, "\(type).rope.scaling.type is \"\(kind)\", which is not understood", at: settings.metadata.path)
    }
  }
}
