import MeanderFiles

extension GGUFArchitecture {
  static let jamba = GGUFArchitecture(
    "jamba",
    tensors: [
      GGUFTensor("token_embd.weight", "model.embed_tokens.weight"),
      GGUFTensor("output_norm.weight", "model.final_layernorm.weight"), GGUFTensor("output.weight", "lm_head.weight"),
      GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"),
      GGUFTensor("blk.#.ffn_norm.weight", "model.layers.#.pre_ff_layernorm.weight"),
      GGUFTensor("blk.#.ffn_gate_inp.weight", "model.layers.#.feed_forward.router.weight"),
    ] + GGUFTensor.mamba1("model.layers.#.mamba.") + GGUFTensor.attention("model.layers.#.self_attn.")
      + GGUFTensor.feedForward("model.layers.#.feed_forward.") + GGUFTensor.experts("model.layers.#.feed_forward.experts."),
    settings: { architecture in
      guard let model = architecture as? Jamba else { return nil }
      let stack = model.stack
      return try stack.transformer.ggufSettings(attends: stack.attends)
        + [("expert_count", .count(model.experts)), ("expert_used_count", .count(model.rule.perToken))]
        + mamba1Settings(model.mamba)
    }
  ) { settings in
    let attention = try GGUFAttention(&settings)
    let inner = try settings.integer("ssm.inner_size")
    guard inner.isMultiple(of: attention.width) else {
      throw settings.failure("ssm.inner_size", "is \(inner), no multiple of the width of \(attention.width)")
    }
    settings.ignore(["vocab_size", "rope.dimension_count"])
    let sparse = (0..<attention.layers).filter { settings.has("blk.\($0).ffn_gate_inp.weight") }
    let first = sparse.first ?? 0
    let period = sparse.count > 1 ? sparse[1] - first : max(1, attention.layers)
    guard sparse == (0..<attention.layers).filter({ !sparse.isEmpty && $0 % period == first }) else {
      throw settings.unsupported("expert_count", "is for layers that do not follow each other at one distance")
    }
    let experts = try settings.optionalInteger("expert_count") ?? 0
    let perToken = try settings.optionalInteger("expert_used_count") ?? 1
    let recurrent = attention.keyHeads.firstIndex(of: 0) ?? 0
    return try attention.members(&settings) + [
      ("model_type", .string("jamba")), ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
      ("layers_block_type", .array(attention.keyHeads.map { .string($0 == 0 ? "mamba" : "attention") })),
      ("num_experts", JSON(sparse.isEmpty ? 1 : experts)), ("num_experts_per_tok", JSON(sparse.isEmpty ? 1 : perToken)),
      ("expert_layer_period", JSON(period)), ("expert_layer_offset", JSON(first)),
      ("mamba_expand", JSON(inner / attention.width)), ("mamba_d_state", JSON(try settings.integer("ssm.state_size"))),
      ("mamba_dt_rank", JSON(try settings.integer("ssm.time_step_rank"))),
      ("mamba_d_conv", JSON(try settings.integer("ssm.conv_kernel"))),
      ("mamba_proj_bias", .bool(settings.has("blk.\(recurrent).ssm_in.bias"))),
      ("mamba_conv_bias", .bool(settings.has("blk.\(recurrent).ssm_conv1d.bias"))),
    ]
  }
}
