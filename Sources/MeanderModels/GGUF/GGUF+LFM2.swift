import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  static let lfm2 = GGUFArchitecture(
    "lfm2",
    tensors: [
      GGUFTensor("token_embd.weight", "model.embed_tokens.weight"), GGUFTensor("output.weight", "lm_head.weight"),
      // It stands behind the last layer all the same.
      GGUFTensor("token_embd_norm.weight", "model.embedding_norm.weight"),
      GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.operator_norm.weight"),
      GGUFTensor("blk.#.ffn_norm.weight", "model.layers.#.ffn_norm.weight"),
      GGUFTensor("blk.#.attn_q_norm.weight", "model.layers.#.self_attn.q_layernorm.weight"),
      GGUFTensor("blk.#.attn_k_norm.weight", "model.layers.#.self_attn.k_layernorm.weight"),
      GGUFTensor("blk.#.shortconv.conv.weight", "model.layers.#.conv.conv.weight", .squeezed),
      GGUFTensor("blk.#.shortconv.in_proj.weight", "model.layers.#.conv.in_proj.weight"),
      GGUFTensor("blk.#.shortconv.out_proj.weight", "model.layers.#.conv.out_proj.weight"),
    ] + GGUFTensor.attention("model.layers.#.self_attn.", output: "out_proj")
      + GGUFTensor.feedForward("model.layers.#.feed_forward.", gate: "w1", up: "w3", down: "w2"),
    settings: { architecture in
      guard let model = architecture as? LFM2 else { return nil }
      guard !model.hasBias else {
        throw MeanderError(.unsupported, "its convolutions have biases, and GGUF's LFM2 knows none", at: "the model")
      }
      return try model.stack.transformer.ggufSettings(attends: model.stack.attends) + [("shortconv.l_cache", .count(model.kernel))]
    }
  ) { settings in
    let attention = try GGUFAttention(&settings)
    try settings.require("rope.dimension_count", attention.headWidth)
    settings.ignore(["vocab_size"])
    let members = try attention.members(&settings)
    let epsilon = members.first { $0.0 == "rms_norm_eps" }?.1 ?? JSON(1e-5)
    return members + [
      ("model_type", .string("lfm2")), ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
      ("block_auto_adjust_ff_dim", .bool(false)), ("norm_eps", epsilon), ("conv_bias", .bool(false)),
      ("conv_L_cache", JSON(try settings.integer("shortconv.l_cache"))),
      ("layer_types", .array(attention.keyHeads.map { .string($0 == 0 ? "conv" : "full_attention") })),
    ]
  }
}
