import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Jamba (Lieber and others 2024): Mamba layers, some of which attend instead, without positions; experts in some layers.
package struct Jamba: HybridArchitecture {
  package static let name = "jamba"

  let stack: HybridStack
  let mamba: Mamba1Mixer.Sizes
  let experts: Int
  let rule: ExpertRouter
  /// Per layer, whether its feed-forward is of experts.
  private let isSparse: [Bool]

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 14336, keyHeads: 8, vocabulary: 65536, epsilon: 1e-6, positions: 262_144))
    transformer.attention.positions = .none
    let (width, layers) = (transformer.shape.width, transformer.shape.layers)
    let expansion = try configuration.integer("mamba_expand", 2, in: 1...64)
    mamba = Mamba1Mixer.Sizes(
      width: width, inner: expansion * width, stateSize: try configuration.integer("mamba_d_state", 16, in: 1...1 << 16),
      timeStepRank: try configuration.timeStepRank("mamba_dt_rank", width: width),
      convolutionWidth: try configuration.integer("mamba_d_conv", 4, in: 1...64),
      hasProjectionBias: try configuration.bool("mamba_proj_bias", false),
      hasConvolutionBias: try configuration.bool("mamba_conv_bias", true),
      selectionNorms: .weighted(epsilon: transformer.epsilon))
    func every(_ what: String, _ period: Int, _ offset: Int) throws -> (Int) -> Bool {
      let step = try configuration.integer(what + "_layer_period", period, in: 1...1 << 16)
      let first = try configuration.integer(what + "_layer_offset", offset, in: 0...1 << 16)
      return { $0 % step == first }
    }
    let attends = try every("attn", 8, 4)
    let sparse = try every("expert", 2, 1)
    experts = try configuration.integer("num_experts", 16, in: 1...1 << 16)
    var rule = ExpertRouter(perToken: try configuration.integer("num_experts_per_tok", 2, in: 1...experts))
    rule.isNormalised = false
    self.rule = rule
    let count = experts
    isSparse = (0..<layers).map { count > 1 && sparse($0) }
    let kinds = try configuration.attendingLayers(
      "layers_block_type", count: layers, recurrent: ["mamba", "linear_attention"], fallback: attends)
    configuration.ignore([
      "output_router_logits", "router_aux_loss_coef", "use_associative_scan", "use_mamba_kernels", "use_mambapy",
      "num_logits_to_keep", "sliding_window",
    ])
    stack = HybridStack(transformer, attends: kinds)
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) state \(mamba.stateSize) rank \(mamba.timeStepRank) inner \(mamba.inner) convolution \
    \(mamba.convolutionWidth) bias \(mamba.hasProjectionBias) \(mamba.hasConvolutionBias) experts \(experts) \(rule.perToken) \
    \(isSparse.map { $0 ? "1" : "0" }.joined())
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.final_layernorm.weight"
    return try stack.build(from: reader) { layer, prefix in
      let mixer: any Mixer = stack.attends[layer]
        ? try stack.attention(prefix + "self_attn.", layer: layer, from: reader)
        : try Mamba1Mixer(mamba, prefix: prefix + "mamba.", from: reader)
      let feed: any Mixer = isSparse[layer]
        ? try stack.experts(
          experts, inner: stack.transformer.feedForward.inner, prefix: prefix + "feed_forward.", router: "router", rule: rule,
          from: reader)
        : try stack.feedForward(prefix + "feed_forward.", from: reader)
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer),
        Block(layer: layer, norm: try stack.norm(prefix + "pre_ff_layernorm.weight", from: reader), mixer: feed),
      ]
    }
  }
}
