import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Granite 4 (IBM 2025): Mamba-2 layers, some of which attend instead; multipliers around everything; a feed-forward that every
/// token goes through, and experts beside it where there are any.
package struct GraniteHybrid: HybridArchitecture {
  package static let name = "granitemoehybrid"

  let stack: HybridStack
  let mamba: Mamba2Mixer.Sizes
  let experts: Int
  let rule: ExpertRouter
  let expertInner: Int
  /// What every mixer's rows are multiplied by.
  let residual: Float

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(&configuration, .init(vocabulary: 32000, epsilon: 1e-6, positions: 2048))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    transformer.attention.scale = Float(try configuration.float("attention_multiplier", 1, in: 1e-6...1e6))
    let positions = try configuration.optionalString("position_embedding_type", among: ["rope", "nope"])
    if positions != "rope" { transformer.attention.positions = .none }
    expertInner = transformer.feedForward.inner
    transformer.feedForward.inner = try configuration.integer("shared_intermediate_size", 1024, in: 1...1 << 22)
    mamba = try configuration.mamba2(width: transformer.shape.width, epsilon: transformer.epsilon)
    experts = try configuration.integer("num_local_experts", 8, in: 0...1 << 16)
    rule = ExpertRouter(perToken: try configuration.integer("num_experts_per_tok", 2, in: 0...max(0, experts)))
    residual = Float(try configuration.float("residual_multiplier", 1, in: 0...1e6))
    let attends = try configuration.attendingLayers(
      "layer_types", count: transformer.shape.layers, recurrent: ["mamba", "linear_attention"]) { _ in false }
    _ = try configuration.optionalString("normalization_function", among: ["rmsnorm"])
    configuration.ignore(["output_router_logits", "router_aux_loss_coef", "init_method"])
    var stack = HybridStack(transformer, attends: attends)
    stack.embeddingScale = Float(try configuration.float("embedding_multiplier", 1, in: 1e-6...1e6))
    stack.logitScale = Float(1 / (try configuration.float("logits_scaling", 1, in: 1e-6...1e6)))
    self.stack = stack
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) \(mamba.arithmetic) experts \(experts) \(rule.perToken) \(expertInner) residual \(residual) attention \
    \(stack.transformer.attention.scale ?? 0) \(stack.transformer.attention.positions.rotary == nil ? "nope" : "rope")
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { layer, prefix in
      let mixer: any Mixer = stack.attends[layer]
        ? try stack.attention(prefix + "self_attn.", layer: layer, from: reader)
        : try Mamba2Mixer(mamba, prefix: prefix + "mamba.", from: reader)
      return [
        Block(
          layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer, scale: residual),
        Block(
          layer: layer, norm: try stack.norm(prefix + "post_attention_layernorm.weight", from: reader),
          mixer: try feedForward(prefix, from: reader), scale: residual),
      ]
    }
  }

  /// The gate's rows stand before the others in one tensor.
  private func feedForward(_ prefix: String, from reader: WeightReader) throws -> any Mixer {
    let (width, inner) = (shape.width, stack.transformer.feedForward.inner)
    func part(_ index: Int) throws -> Weight {
      try reader.weight(
        prefix + "shared_mlp.input_linear.weight", outputs: 2 * inner, inner: width, rows: [index * inner..<(index + 1) * inner])
    }
    let shared = FeedForwardMixer(
      stack.transformer.feedForward, gate: try part(0), up: try part(1),
      down: try reader.weight(prefix + "shared_mlp.output_linear.weight", outputs: width, inner: inner))
    guard experts > 0 else { return shared }
    let own = prefix + "block_sparse_moe."
    let all = try (0..<experts).map { expert in
      func part(_ index: Int) throws -> Weight {
        let first = (2 * expert + index) * expertInner
        return try reader.weight(
          own + "input_linear.weight", outputs: 2 * experts * expertInner, inner: width, rows: [first..<first + expertInner],
          shape: [experts, 2 * expertInner, width])
      }
      return ExpertsMixer.Expert(
        gate: try part(0), up: try part(1),
        down: try reader.weight(
          own + "output_linear.weight", outputs: experts * width, inner: expertInner,
          rows: [expert * width..<(expert + 1) * width], shape: [experts, width, expertInner]))
    }
    return ExpertsMixer(
      width: width, inner: expertInner, activation: stack.transformer.feedForward.activation, rule: rule,
      router: try reader.weight(own + "router.layer.weight", outputs: experts, inner: width), experts: all, shared: shared)
  }
}
