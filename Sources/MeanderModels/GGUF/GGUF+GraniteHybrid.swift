import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// Granite 4. The gate's rows and the others' stand in two tensors, where the architecture has them in one.
  static let graniteHybrid: GGUFArchitecture = {
    let hasExperts: @Sendable (GGUFSizes) -> Bool = { $0.value("expert_count", 0) ?? 0 > 0 }
    let halves = GGUFTensor.Form(
      rows: .apart { shape, _ in
        guard shape.count == 2 else { return nil }
        let inner = shape[0] / 2
        let half = [inner, shape[1]]
        return ([half, half], (0..<2).map { RowRun($0, first: 0, count: inner) })
      })
    let expertHalves = GGUFTensor.Form(
      rows: .apart { shape, _ in
        guard shape.count == 3 else { return nil }
        let inner = shape[1] / 2
        let half = [shape[0], inner, shape[2]]
        let runs = (0..<shape[0]).flatMap { expert in (0..<2).map { RowRun($0, first: expert * inner, count: inner) } }
        return ([half, half], runs)
      })
    let (shared, own) = ("model.layers.#.shared_mlp.", "model.layers.#.block_sparse_moe.")
    func feed(_ kind: String, _ isUsed: @escaping @Sendable (GGUFSizes) -> Bool) -> [GGUFTensor] {
      var both = GGUFTensor(["blk.#.ffn_gate\(kind).weight", "blk.#.ffn_up\(kind).weight"], shared + "input_linear.weight", halves)
      var down = GGUFTensor("blk.#.ffn_down\(kind).weight", shared + "output_linear.weight")
      (both.isUsed, down.isUsed) = (isUsed, isUsed)
      return [both, down]
    }
    return GGUFArchitecture(
      "granitehybrid",
      tensors: [
        GGUFTensor("token_embd.weight", "model.embed_tokens.weight"), GGUFTensor("output_norm.weight", "model.norm.weight"),
        GGUFTensor("output.weight", "lm_head.weight"),
        GGUFTensor("blk.#.attn_norm.weight", "model.layers.#.input_layernorm.weight"),
        GGUFTensor("blk.#.ffn_norm.weight", "model.layers.#.post_attention_layernorm.weight"),
        GGUFTensor("blk.#.ffn_gate_inp.weight", own + "router.layer.weight"),
        GGUFTensor(["blk.#.ffn_gate_exps.weight", "blk.#.ffn_up_exps.weight"], own + "input_linear.weight", expertHalves),
        GGUFTensor("blk.#.ffn_down_exps.weight", own + "output_linear.weight"),
      ] + feed("_shexp", hasExperts) + feed("", { !hasExperts($0) }) + GGUFTensor.mamba2("model.layers.#.mamba.")
        + GGUFTensor.attention("model.layers.#.self_attn.", query: .queries, key: .keys),
      settings: { architecture in
        guard let model = architecture as? GraniteHybrid else { return nil }
        let (stack, attention) = (model.stack, model.stack.transformer.attention)
        let inner = stack.transformer.feedForward.inner
        return try stack.transformer.ggufSettings(
          attends: stack.attends, feedForward: model.experts > 0 ? model.expertInner : inner)
          + mamba2Settings(model.mamba) + [
            ("attention.scale", .number(Double(attention.scale ?? 1))), ("embedding_scale", .number(Double(stack.embeddingScale))),
            ("residual_scale", .number(Double(model.residual))), ("logit_scale", .number(Double(1 / stack.logitScale))),
            ("expert_count", .count(model.experts)), ("expert_used_count", .count(model.rule.perToken)),
            ("rope.scaling.finetuned", .bool(attention.positions.rotary != nil)),
          ] + (model.experts > 0 ? [("expert_shared_feed_forward_length", .count(inner))] : [])
      }
    ) { settings in
      let attention = try GGUFAttention(&settings)
      let mamba = try GGUFMamba2(&settings)
      let inner = try settings.integer("feed_forward_length")
      let shared = try settings.optionalInteger("expert_shared_feed_forward_length")
      let experts = try settings.optionalInteger("expert_count") ?? 0
      try settings.require("rope.dimension_count", attention.headWidth)
      settings.ignore(["vocab_size"])
      guard experts == 0 || shared ?? 0 > 0 else {
        throw settings.unsupported("expert_count", "is \(experts), and no feed-forward beside the experts is there")
      }
      let turns = try settings.optionalBool("rope.scaling.finetuned") ?? false
      let recurrent = attention.keyHeads.firstIndex(of: 0) ?? 0
      func number(_ key: String, _ otherwise: Double) throws -> JSON { JSON(try settings.optionalFloat(key) ?? otherwise) }
      return try attention.members(&settings) + mamba.members(width: attention.width, settings, has: recurrent) + [
        ("model_type", .string("granitemoehybrid")), ("intermediate_size", JSON(inner)),
        ("shared_intermediate_size", JSON(experts > 0 ? shared ?? 0 : inner)), ("num_local_experts", JSON(experts)),
        ("num_experts_per_tok", JSON(try settings.optionalInteger("expert_used_count") ?? 0)),
        ("layer_types", .array(attention.keyHeads.map { .string($0 == 0 ? "mamba" : "attention") })),
        ("position_embedding_type", .string(turns ? "rope" : "nope")),
        ("attention_multiplier", try number("attention.scale", 1 / Double(attention.headWidth).squareRoot())),
        ("embedding_multiplier", try number("embedding_scale", 1)), ("residual_multiplier", try number("residual_scale", 1)),
        ("logits_scaling", try number("logit_scale", 1)),
        ("attention_bias", .bool(attention.keyHeads.indices.contains { settings.has("blk.\($0).attn_q.bias") })),
      ]
    }
  }()
}
