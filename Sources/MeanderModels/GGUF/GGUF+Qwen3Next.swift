import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Qwen3-Next. Norms' weights are kept whole, and the rows of q, k, v and z by their kind, where the architecture has them by
  /// heads of keys.
  static let qwen3Next: GGUFArchitecture = {
    let (attention, linear, feed) = ("model.layers.#.self_attn.", "model.layers.#.linear_attn.", "model.layers.#.mlp.")
    let kinds = GGUFTensor.Form(
      rows: .apart { shape, sizes in
        guard shape.count == 2, let size = sizes.value("ssm.state_size", 0), let heads = sizes.value("ssm.group_count", 0),
          let inner = sizes.value("ssm.inner_size", 0), heads > 0, size > 0, inner.isMultiple(of: heads),
          shape[0] == 2 * heads * size + 2 * inner
        else { return nil }
        let (keys, values) = (heads * size, inner / heads)
        let runs = (0..<heads).flatMap { head in
          [
            RowRun(0, first: head * size, count: size), RowRun(0, first: keys + head * size, count: size),
            RowRun(0, first: 2 * keys + head * values, count: values), RowRun(1, first: head * values, count: values),
          ]
        }
        return ([[2 * keys + inner, shape[1]], [inner, shape[1]]], runs)
      })
    return GGUFArchitecture(
      "qwen3next",
      tensors: [
        GGUFTensor("token_embd.weight", "model.embed_tokens.weight"), GGUFTensor("output.weight", "lm_head.weight"),
        GGUFTensor("output_norm.weight", "model.norm.weight", .lessOne),
        GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight", .lessOne),
        GGUFTensor("blk.#.post_attention_norm.weight", "model.layers.#.post_attention_layernorm.weight", .lessOne),
        GGUFTensor("blk.#.attn_q_norm.weight", attention + "q_norm.weight", .lessOne),
        GGUFTensor("blk.#.attn_k_norm.weight", attention + "k_norm.weight", .lessOne),
        GGUFTensor(["blk.#.attn_qkv.weight", "blk.#.attn_gate.weight"], linear + "in_proj_qkvz.weight", kinds),
        // Older files have them as the architecture does.
        GGUFTensor("blk.#.ssm_in.weight", linear + "in_proj_qkvz.weight"),
        GGUFTensor("blk.#.ssm_ba.weight", linear + "in_proj_ba.weight"),
        GGUFTensor("blk.#.ssm_conv1d.weight", linear + "conv1d.weight", .squeezed),
        GGUFTensor("blk.#.ssm_dt.bias", linear + "dt_bias"), GGUFTensor("blk.#.ssm_a", linear + "A_log", .logarithm),
        GGUFTensor("blk.#.ssm_norm.weight", linear + "norm.weight"), GGUFTensor("blk.#.ssm_out.weight", linear + "out_proj.weight"),
        GGUFTensor("blk.#.ffn_gate_inp.weight", feed + "gate.weight"),
        GGUFTensor("blk.#.ffn_gate_inp_shexp.weight", feed + "shared_expert_gate.weight", .squeezed),
      ] + GGUFTensor.attention(attention) + GGUFTensor.feedForward(feed)
        + GGUFTensor.feedForward(feed + "shared_expert.", kind: "_shexp") + GGUFTensor.experts(feed + "experts."),
      settings: { architecture in
        guard let model = architecture as? Qwen3Next else { return nil }
        let (stack, delta) = (model.stack, model.delta)
        guard model.rule.isNormalised else {
          throw MeanderError(
            .unsupported, "the shares of its experts do not add up to one, as GGUF's Qwen3-Next has them", at: "the model")
        }
        // Which layers attend stands there as a period alone.
        let every = (stack.attends.firstIndex(of: true) ?? stack.attends.count) + 1
        guard stack.attends == stack.attends.indices.map({ ($0 + 1) % every == 0 }) else {
          throw MeanderError(.unsupported, "its layers do not attend at one distance", at: "the model")
        }
        var settings = try stack.transformer.ggufSettings(attends: stack.attends)
        settings.removeAll { $0.0 == "attention.head_count_kv" }
        return settings + [
          ("attention.head_count_kv", .count(stack.transformer.attention.keyHeads)), ("full_attention_interval", .count(every)),
          ("ssm.conv_kernel", .count(delta.convolutionWidth)), ("ssm.state_size", .count(delta.stateSize)),
          ("ssm.group_count", .count(delta.keyHeads)), ("ssm.time_step_rank", .count(delta.heads)),
          ("ssm.inner_size", .count(delta.values)), ("expert_count", .count(model.experts)),
          ("expert_used_count", .count(model.rule.perToken)), ("expert_feed_forward_length", .count(model.expertInner)),
          ("expert_shared_feed_forward_length", .count(model.sharedInner)),
        ]
      }
    ) { settings in
      let attention = try GGUFAttention(&settings)
      let heads = try settings.integer("ssm.time_step_rank")
      let inner = try settings.integer("ssm.inner_size")
      guard heads > 0, inner.isMultiple(of: heads) else {
        throw settings.failure("ssm.inner_size", "is \(inner), which \(heads) heads cannot share")
      }
      let turned = try settings.optionalInteger("rope.dimension_count") ?? attention.headWidth
      let feed = try settings.integer("feed_forward_length")
      let expertFeed = try settings.optionalInteger("expert_feed_forward_length") ?? feed
      settings.ignore(["vocab_size", "full_attention_interval"])
      let dense = (0..<attention.layers).filter { !settings.has("blk.\($0).ffn_gate_inp.weight") }
      return try attention.members(&settings) + [
        ("model_type", .string("qwen3_next")), ("intermediate_size", JSON(max(1, feed))),
        ("partial_rotary_factor", JSON(Double(turned) / Double(max(1, attention.headWidth)))),
        (
          "layer_types",
          .array(
            (0..<attention.layers).map { .string(settings.has("blk.\($0).attn_q.weight") ? "full_attention" : "linear_attention") })
        ),
        ("linear_num_value_heads", JSON(heads)), ("linear_value_head_dim", JSON(inner / heads)),
        ("linear_num_key_heads", JSON(try settings.integer("ssm.group_count"))),
        ("linear_key_head_dim", JSON(try settings.integer("ssm.state_size"))),
        ("linear_conv_kernel_dim", JSON(try settings.integer("ssm.conv_kernel"))),
        ("num_experts", JSON(try settings.optionalInteger("expert_count") ?? 0)),
        ("num_experts_per_tok", JSON(try settings.optionalInteger("expert_used_count") ?? 0)),
        ("moe_intermediate_size", JSON(expertFeed)),
        (
          "shared_expert_intermediate_size",
          JSON(try settings.optionalInteger("expert_shared_feed_forward_length") ?? expertFeed)
        ), ("norm_topk_prob", .bool(true)), ("decoder_sparse_step", JSON(1)), ("mlp_only_layers", .array(dense.map { JSON($0) })),
        ("attention_bias", .bool((0..<attention.layers).contains { settings.has("blk.\($0).attn_q.bias") })),
      ]
    }
  }()
}
