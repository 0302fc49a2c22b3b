import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Nemotron-H, by two names: without experts, and with them.
  static let nemotronH = nemotron("nemotron_h", hasExperts: false)
  static let nemotronHExperts = nemotron("nemotron_h_moe", hasExperts: true)

  private static func nemotron(_ name: String, hasExperts: Bool) -> GGUFArchitecture {
    let own = "backbone.layers.#.mixer."
    return GGUFArchitecture(
      name,
      tensors: [
        GGUFTensor("token_embd.weight", "backbone.embeddings.weight"), GGUFTensor("output_norm.weight", "backbone.norm_f.weight"),
        GGUFTensor("output.weight", "lm_head.weight"), GGUFTensor("blk.#.attn_norm.weight", "backbone.layers.#.norm.weight"),
        GGUFTensor("blk.#.ffn_gate_inp.weight", own + "gate.weight"),
        GGUFTensor("blk.#.exp_probs_b.bias", own + "gate.e_score_correction_bias"),
      ] + GGUFTensor.mamba2(own) + GGUFTensor.attention(own, query: .queries, key: .keys) + GGUFTensor.feedForward(own)
        + GGUFTensor.feedForward(own + "shared_experts.", kind: "_shexp") + GGUFTensor.experts(own + "experts."),
      settings: { architecture in
        guard let model = architecture as? NemotronH, model.kinds.contains(.experts) == hasExperts else { return nil }
        guard !hasExperts || !model.kinds.contains(.feedForward) else {
          throw MeanderError(.unsupported, "it has feed-forwards beside layers of experts", at: "the model")
        }
        let inner = hasExperts ? model.expertInner : model.stack.transformer.feedForward.inner
        var settings = try model.stack.transformer.ggufSettings(attends: model.stack.attends)
        settings.removeAll { $0.0 == "feed_forward_length" }
        let rule = model.rule
        return settings + mamba2Settings(model.mamba) + [
          ("feed_forward_length", .counts(model.kinds.map { $0 == .experts || $0 == .feedForward ? inner : 0 })),
          ("attention.layer_norm_epsilon", .number(Double(model.stack.transformer.epsilon))),
        ]
          + (hasExperts
            ? [
              ("expert_count", .count(model.experts)), ("expert_used_count", .count(rule.perToken)),
              ("expert_feed_forward_length", .count(inner)),
              ("expert_shared_feed_forward_length", .count(model.sharedInner)), ("expert_shared_count", .count(1)),
              ("expert_weights_norm", .bool(rule.isNormalised)), ("expert_weights_scale", .number(Double(rule.scale))),
              ("expert_group_count", .count(rule.groups)), ("expert_group_used_count", .count(rule.chosenGroups)),
            ] : [])
      }
    ) { settings in
      let attention = try GGUFAttention(&settings)
      let mamba = try GGUFMamba2(&settings)
      let feeds = try settings.counts("feed_forward_length", layers: attention.layers) ?? []
      settings.ignore(["vocab_size", "rope.dimension_count", "rope.scaling.finetuned", "expert_shared_count"])
      let other = try settings.optionalFloat("attention.layer_norm_epsilon")
      let epsilon = try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? other ?? 1e-5
      let kinds = (0..<attention.layers).map { layer in
        if settings.has("blk.\(layer).ssm_in.weight") { return "M" }
        if attention.keyHeads[layer] > 0, settings.has("blk.\(layer).attn_q.weight") { return "*" }
        return settings.has("blk.\(layer).ffn_gate_inp.weight") ? "E" : "-"
      }
      let first = kinds.firstIndex(of: "M") ?? 0
      let lowest = mamba.limit?.array?.first ?? JSON(0)
      var members = try attention.members(&settings).filter { $0.0 != "rms_norm_eps" } + [
        ("model_type", .string("nemotron_h")), ("hybrid_override_pattern", .string(kinds.joined())),
        ("intermediate_size", JSON(max(1, feeds.max() ?? 1))), ("layer_norm_epsilon", JSON(epsilon)),
        ("mlp_hidden_act", .string("relu2")), ("mamba_num_heads", JSON(mamba.heads)), ("mamba_head_dim", JSON(mamba.headWidth)),
        ("ssm_state_size", JSON(mamba.stateSize)), ("n_groups", JSON(mamba.groups)), ("conv_kernel", JSON(mamba.kernel)),
        ("time_step_min", lowest), ("mamba_proj_bias", .bool(settings.has("blk.\(first).ssm_in.bias"))),
        ("use_conv_bias", .bool(settings.has("blk.\(first).ssm_conv1d.bias"))),
        ("attention_bias", .bool(kinds.indices.contains { settings.has("blk.\($0).attn_q.bias") })),
        ("mlp_bias", .bool(kinds.indices.contains { settings.has("blk.\($0).ffn_up.bias") })),
      ]
      guard hasExperts else { return members }
      members += [
        ("n_routed_experts", JSON(try settings.integer("expert_count"))),
        ("num_experts_per_tok", JSON(try settings.integer("expert_used_count"))),
        ("moe_intermediate_size", JSON(try settings.integer("expert_feed_forward_length"))),
        ("moe_shared_expert_intermediate_size", JSON(try settings.integer("expert_shared_feed_forward_length"))),
        ("norm_topk_prob", .bool(try settings.optionalBool("expert_weights_norm") ?? true)),
        ("routed_scaling_factor", JSON(try settings.optionalFloat("expert_weights_scale") ?? 1)),
        ("n_group", JSON(max(1, try settings.optionalInteger("expert_group_count") ?? 1))),
        ("topk_group", JSON(max(1, try settings.optionalInteger("expert_group_used_count") ?? 1))),
      ]
      return members
    }
  }
}
