import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Files have all multipliers in the weights.
  static let falconH1: GGUFArchitecture = {
    var names = GGUFArchitecture(
      "falcon-h1",
      tensors: [
        GGUFTensor("token_embd.weight", "model.embed_tokens.weight"),
        GGUFTensor("output_norm.weight", "model.final_layernorm.weight"), GGUFTensor("output.weight", "lm_head.weight"),
        GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"),
        // So it is called there, without an ending.
        GGUFTensor("blk.#.ffn_norm", "model.layers.#.pre_ff_layernorm.weight"),
      ] + GGUFTensor.mamba2("model.layers.#.mamba.") + GGUFTensor.attention("model.layers.#.self_attn.")
        + GGUFTensor.feedForward("model.layers.#.feed_forward."),
      settings: { architecture in
        guard let model = architecture as? FalconH1 else { return nil }
        let stack = model.stack
        let ties = stack.transformer.isTied && stack.embeddingScale != stack.logitScale
        guard model.mamba.norm != .beforeGate, !ties else {
          throw MeanderError(
            .unsupported, ties ? "its embedding and its head are one, by two multipliers" : "its norm comes before the gate",
            at: "the model", remedy: "GGUF's Falcon-H1 has no place for that.")
        }
        return try stack.transformer.ggufSettings() + mamba2Settings(model.mamba)
      }
    ) { settings in
      let attention = try GGUFAttention(&settings)
      let mamba = try GGUFMamba2(&settings)
      settings.ignore(["vocab_size"])
      try settings.require("rope.dimension_count", attention.headWidth)
      return try attention.members(&settings) + mamba.members(width: attention.width, settings, has: 0) + [
        ("model_type", .string("falcon_h1")), ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
        ("mamba_rms_norm", .bool(settings.has("blk.0.ssm_norm.weight"))), ("mamba_norm_before_gate", .bool(false)),
        ("attention_bias", .bool(settings.has("blk.0.attn_q.bias"))), ("mlp_bias", .bool(settings.has("blk.0.ffn_up.bias"))),
        ("projectors_bias", .bool(settings.has("blk.0.ssm_in.bias"))),
      ]
    }
    names.factors = { architecture, tensor in (architecture as? FalconH1)?.ggufFactors(tensor.stored[0]) ?? [] }
    return names
  }()
}

extension FalconH1 {
  /// What a tensor's rows are multiplied by in files.
  fileprivate func ggufFactors(_ stored: String) -> [(rows: Int, factor: Float)] {
    let sizes = stack.transformer.attention
    switch stored {
    case "token_embd.weight": return [(1, stack.embeddingScale)]
    case "output.weight": return [(1, stack.logitScale)]
    case "blk.#.attn_q.weight", "blk.#.attn_v.weight": return [(1, attention.before)]
    case "blk.#.attn_k.weight": return [(1, attention.before * sizes.keyScale)]
    case "blk.#.attn_k.bias": return [(1, sizes.keyScale)]
    case "blk.#.attn_output.weight", "blk.#.attn_output.bias": return [(1, attention.after)]
    case "blk.#.ssm_out.weight", "blk.#.ssm_out.bias": return [(1, recurrence.after)]
    case "blk.#.ffn_gate.weight", "blk.#.ffn_gate.bias": return [(1, stack.transformer.feedForward.gateScale)]
    case "blk.#.ffn_down.weight", "blk.#.ffn_down.bias": return [(1, down)]
    case "blk.#.ssm_in.weight":
      let own = mamba.multipliers ?? [1, 1, 1, 1, 1]
      let counts = [mamba.inner, mamba.inner, mamba.keys, mamba.keys, mamba.heads]
      return zip(counts, own).map { ($0, $1 * recurrence.before) }
    default: return []
    }
  }
}
