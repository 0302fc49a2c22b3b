import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Kimi Linear (Kimi Team 2025): Kimi delta attention, latent attention without positions in some layers, and experts.
package struct KimiLinear: HybridArchitecture {
  package static let name = "kimi_linear"

  let stack: HybridStack
  private let delta: GatedDeltaMixer.Sizes
  private let latent: LatentAttentionMixer.Sizes
  private let experts: Int
  private let rule: ExpertRouter
  private let expertInner, sharedExperts: Int
  /// Per layer, whether its feed-forward is of experts.
  private let isSparse: [Bool]

  package init(_ configuration: inout Configuration) throws {
    let positions = try configuration.integer("model_max_length", 1 << 20, in: 1...1 << 40)
    var transformer = try Transformer(
      &configuration,
      .init(width: 2304, inner: 9216, layers: 27, vocabulary: 163_840, epsilon: 1e-5, positions: positions))
    transformer.attention.positions = .none
    try configuration.require("attention_bias", false)
    let (width, layers) = (transformer.shape.width, transformer.shape.layers)
    // In the authors' own style the recurrence is told of in an object, which counts layers from one.
    var linear = try configuration.object("linear_attn_config")
    func size(_ key: String, _ own: String, _ fallback: Int, in range: ClosedRange<Int>) throws -> Int {
      try configuration.optionalInteger(key, in: range) ?? linear?.optionalInteger(own, in: range) ?? fallback
    }
    let heads = try size("linear_num_heads", "num_heads", 32, in: 1...1 << 16)
    let headWidth = try size("linear_head_dim", "head_dim", 128, in: 1...1 << 16)
    var delta = GatedDeltaMixer.Sizes(
      width: width, heads: heads, keyHeads: heads, headWidth: headWidth, stateSize: headWidth,
      convolutionWidth: try size("linear_conv_kernel_dim", "short_conv_kernel_size", 4, in: 2...64), epsilon: transformer.epsilon)
    delta.gate = .sigmoid
    self.delta = delta
    guard !configuration.has("q_lora_rank") else { throw configuration.failure("q_lora_rank", "can only be left out here") }
    let plain = try configuration.integer("qk_nope_head_dim", 128, in: 1...1 << 16)
    let shared = try configuration.integer("qk_rope_head_dim", 64, in: 1...1 << 16)
    try configuration.require("qk_head_dim", plain + shared, whenGiven: true)
    latent = LatentAttentionMixer.Sizes(
      width: width, heads: transformer.attention.heads, rank: try configuration.integer("kv_lora_rank", 512, in: 1...1 << 16),
      plain: plain, shared: shared, values: try configuration.integer("v_head_dim", 128, in: 1...1 << 16),
      // The reference's norm has an epsilon of its own.
      epsilon: 1e-6)
    experts = try configuration.integer("num_experts", 256, in: 1...1 << 16)
    rule = try configuration.groupedRouter(
      experts: experts, perToken: ("num_experts_per_token", 8), normalised: "moe_renormalize", groups: "num_expert_group")
    _ = try configuration.optionalString("moe_router_activation_func", among: ["sigmoid"])
    guard try configuration.bool("use_grouped_topk", true) || rule.groups == 1 else {
      throw configuration.failure("use_grouped_topk", "can only be true with several groups of experts")
    }
    expertInner = try configuration.integer("moe_intermediate_size", 1024, in: 1...1 << 22)
    sharedExperts = try configuration.integer("num_shared_experts", 1, in: 1...1 << 10)
    let kinds = try configuration.strings("mlp_layer_types", [])
    guard kinds.isEmpty || kinds.count == layers, kinds.allSatisfy({ ["dense", "sparse"].contains($0) }) else {
      throw configuration.failure("mlp_layer_types", "must name dense or sparse for each of \(layers) layers")
    }
    let dense = try configuration.integer("first_k_dense_replace", 1, in: 0...1 << 16)
    let every = try configuration.integer("moe_layer_freq", 1, in: 1...1 << 16)
    isSparse = (0..<layers).map { kinds.isEmpty ? $0 >= dense && $0 % every == 0 : kinds[$0] == "sparse" }
    let listed = try linear?.integers("full_attn_layers", [], in: 1...layers)
    let rest = try linear?.integers("kda_layers", [], in: 1...layers)
    if let listed, let rest, (listed + rest).sorted() != Array(1...layers) {
      throw configuration.failure("linear_attn_config", "must name each of \(layers) layers once")
    }
    try linear?.finish()
    let attends = try configuration.attendingLayers("layer_types", count: layers, recurrent: ["linear_attention"]) {
      listed?.contains($0 + 1) ?? ($0 % 4 == 3)
    }
    try configuration.require("mla_use_nope", true)
    try configuration.require("num_nextn_predict_layers", 0, whenGiven: true)
    configuration.ignore(["output_router_logits", "pretraining_tp", "q_lora_rank"])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) \(delta.arithmetic) latent \(latent.rank) \(latent.plain) \(latent.shared) \(latent.values) experts \
    \(experts) \(rule.perToken) \(rule.isNormalised) \(rule.scale) \(rule.groups) \(rule.chosenGroups) \(expertInner) \
    \(sharedExperts) \(isSparse.map { $0 ? "1" : "0" }.joined())
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let count = stack.attends.reduce(0) { $0 + ($1 ? 1 : 0) }
    return try stack.build(from: reader) { layer, prefix in
      let own = prefix + "self_attn."
      let mixer: any Mixer
      if stack.attends[layer] {
        let bound = try AttentionBound(
          reader.context, positions: stack.transformer.positions, window: nil, bytesPerToken: count * latent.bytesPerToken)
        mixer = try LatentAttentionMixer(latent, bound, prefix: own, from: reader)
      } else {
        mixer = try recurrence(own, reader)
      }
      let feed = prefix + "block_sparse_moe."
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer),
        Block(
          layer: layer, norm: try stack.norm(prefix + "post_attention_layernorm.weight", from: reader),
          mixer: isSparse[layer] ? try sparse(feed, reader) : try stack.feedForward(feed, from: reader)),
      ]
    }
  }

  private func sparse(_ prefix: String, _ reader: WeightReader) throws -> ExpertsMixer {
    var mixer = try stack.experts(
      experts, inner: expertInner, prefix: prefix, router: "gate", rule: rule, names: ("w1", "w3", "w2"), from: reader)
    mixer.choiceBias = try reader.row(prefix + "gate.e_score_correction_bias", count: experts)
    var sizes = stack.transformer.feedForward
    sizes.inner = expertInner * sharedExperts
    let own = prefix + "shared_experts."
    mixer.shared = try FeedForwardMixer(
      sizes, .init(gate: own + "gate_proj", up: own + "up_proj", down: own + "down_proj"), from: reader)
    return mixer
  }

  private func recurrence(_ prefix: String, _ reader: WeightReader) throws -> GatedDeltaMixer {
    let (width, size, inner) = (shape.width, delta.headWidth, delta.values)
    func weight(_ name: String, _ outputs: Int, _ inner: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: inner)
    }
    func path(_ name: String) throws -> LowRank {
      LowRank(down: try weight(name + "_a_proj", size, width), up: try weight(name + "_b_proj", inner, size))
    }
    let rates = reader.parameter(prefix + "A_log").map {
      Matrix($0.storage, offset: $0.byteOffset, rows: 1, columns: delta.heads)
    }
    return GatedDeltaMixer(
      delta,
      .init(
        inputs: [try weight("q_proj", inner, width), try weight("k_proj", inner, width), try weight("v_proj", inner, width)],
        convolutions: try ["q", "k", "v"].map {
          try reader.convolution(prefix + $0 + "_conv1d.weight", channels: inner, width: delta.convolutionWidth, bias: nil)
        },
        strength: try weight("b_proj", delta.heads, width),
        decay: .init(
          projection: .low(try path("f")),
          logRate: try rates
            ?? Matrix(reader.values(prefix + "A_log", shape: [1, 1, delta.heads, 1]), rows: 1, columns: delta.heads),
          bias: try reader.row(prefix + "dt_bias", count: inner)),
        gate: .low(try path("g")), norm: try reader.row(prefix + "o_norm.weight", count: size), out: try weight("o_proj", width, inner)))
  }
}
