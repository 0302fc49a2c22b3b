import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Nemotron-H (NVIDIA 2025): each layer is one step, of Mamba-2, of attention without positions, of a feed-forward or of experts.
package struct NemotronH: HybridArchitecture {
  package static let name = "nemotron_h"

  enum Kind: String {
    case mamba = "M", attention = "*", feedForward = "-", experts = "E"

    init?(named name: String) {
      switch name {
      case "mamba", "linear_attention": self = .mamba
      case "attention", "full_attention": self = .attention
      case "mlp": self = .feedForward
      case "moe": self = .experts
      default: return nil
      }
    }
  }

  let stack: HybridStack
  let kinds: [Kind]
  let mamba: Mamba2Mixer.Sizes
  let experts: Int
  let rule: ExpertRouter
  let expertInner, sharedInner: Int

  package init(_ configuration: inout Configuration) throws {
    let kinds = try Self.kinds(&configuration)
    self.kinds = kinds
    _ = try configuration.optionalInteger("attention_head_dim", in: 1...1 << 16)
    var transformer = try Transformer(
      &configuration, .init(inner: 21504, layers: kinds.count, keyHeads: 8, vocabulary: 131_072, positions: 4096, headWidth: 128))
    guard transformer.shape.layers == kinds.count else {
      throw configuration.failure("num_hidden_layers", "is not the \(kinds.count) that the layers' kinds name")
    }
    transformer.attention.positions = .none
    transformer.epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    transformer.feedForward.activation = try configuration.activation("mlp_hidden_act")
    transformer.feedForward.hasBias = try configuration.bool("mlp_bias", false)
    let width = transformer.shape.width
    let lowest = Float(try configuration.float("time_step_min", 0.001, in: 0...1e6))
    _ = try configuration.optionalString("mamba_hidden_act", among: ["silu", "swish"])
    mamba = Mamba2Mixer.Sizes(
      width: width, heads: try configuration.integer("mamba_num_heads", 128, in: 1...1 << 20),
      headWidth: try configuration.integer("mamba_head_dim", 64, in: 1...1 << 16),
      stateSize: try configuration.integer("ssm_state_size", 128, in: 1...1 << 16),
      groups: try configuration.integer("n_groups", 8, in: 1...1 << 16),
      convolutionWidth: try configuration.integer("conv_kernel", 4, in: 1...64), epsilon: transformer.epsilon,
      // The reference's prefill clamps from below alone, whatever its time_step_limit says.
      timeStepLimit: lowest...Float.infinity,
      hasProjectionBias: try configuration.bool("mamba_proj_bias", try configuration.bool("use_bias", false)),
      hasConvolutionBias: try configuration.bool("use_conv_bias", true))
    try configuration.hold(mamba, groups: "n_groups")
    experts = try configuration.integer("n_routed_experts", 8, in: 1...1 << 16)
    rule = try configuration.groupedRouter(
      experts: experts, perToken: ("num_experts_per_tok", 2), normalised: "norm_topk_prob", groups: "n_group")
    expertInner = try configuration.integer("moe_intermediate_size", 7688, in: 1...1 << 22)
    sharedInner = try configuration.integer("moe_shared_expert_intermediate_size", 7688, in: 1...1 << 22)
    try configuration.require("num_nextn_predict_layers", 0)
    guard !configuration.has("moe_latent_size") else { throw configuration.failure("moe_latent_size", "can only be left out here") }
    guard !configuration.has("sliding_window") else { throw configuration.failure("sliding_window", "can only be left out here") }
    configuration.ignore(
      HuggingFaceKeys.mambaTraining + [
        "chunk_size", "expand", "hidden_dropout", "mamba_ssm_cache_dtype", "moe_latent_size", "moe_shared_expert_overlap",
        "mtp_layers_block_type", "n_shared_experts", "num_logits_to_keep", "output_router_logits", "sliding_window",
        "time_step_limit", "use_mamba_kernels",
      ])
    var stack = HybridStack(transformer, attends: kinds.map { $0 == .attention })
    (stack.embedding, stack.finalNorm) = ("backbone.embeddings.weight", "backbone.norm_f.weight")
    self.stack = stack
  }

  /// By a name for each layer, or by a letter.
  private static func kinds(_ configuration: inout Configuration) throws -> [Kind] {
    if let pattern = try configuration.optionalString("hybrid_override_pattern") {
      return try pattern.map { letter in
        guard let kind = Kind(rawValue: String(letter)) else {
          throw configuration.failure("hybrid_override_pattern", "holds '\(letter)', which is no kind of layer")
        }
        return kind
      }
    }
    return try configuration.strings("layers_block_type").map { name in
      guard let kind = Kind(named: name) else {
        throw configuration.failure("layers_block_type", "names '\(name)', which is no kind of layer")
      }
      return kind
    }
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) \(mamba.arithmetic) kinds \(kinds.map(\.rawValue).joined()) experts \(experts) \(rule.perToken) \
    \(rule.isNormalised) \(rule.scale) \(rule.groups) \(rule.chosenGroups) \(expertInner) \(sharedInner)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { layer, prefix in
      let own = prefix + "mixer."
      let mixer: any Mixer =
        switch kinds[layer] {
        case .mamba: try Mamba2Mixer(mamba, prefix: own, from: reader)
        case .attention: try stack.attention(own, layer: layer, from: reader)
        case .feedForward: try feedForward(own, stack.transformer.feedForward.inner, reader)
        case .experts: try sparse(own, reader)
        }
      return [Block(layer: layer, norm: try stack.norm(prefix + "norm.weight", from: reader), mixer: mixer)]
    }
  }

  private func feedForward(_ prefix: String, _ inner: Int, _ reader: WeightReader) throws -> FeedForwardMixer {
    var sizes = stack.transformer.feedForward
    sizes.inner = inner
    return try FeedForwardMixer(sizes, .init(gate: nil, up: prefix + "up_proj", down: prefix + "down_proj"), from: reader)
  }

  private func sparse(_ prefix: String, _ reader: WeightReader) throws -> ExpertsMixer {
    var mixer = try stack.experts(
      experts, inner: expertInner, prefix: prefix, router: "gate", rule: rule, names: (nil, "up_proj", "down_proj"), from: reader)
    mixer.choiceBias = try reader.row(prefix + "gate.e_score_correction_bias", count: experts)
    mixer.shared = try feedForward(prefix + "shared_experts.", sharedInner, reader)
    return mixer
  }
}
