import MeanderErrors
import MeanderFiles
import MeanderKernels

/// MiniMax-Text-01 (MiniMax 2025): lightning attention, softmax attention in some layers, experts in all. What is added to is not
/// the stream but its norm, times α, and what is added is times β.
package struct MiniMax: HybridArchitecture {
  package static let name = "minimax"

  let stack: HybridStack
  private let experts: Int
  private let rule: ExpertRouter
  /// α and β of lightning attention, of attention, and of the experts.
  private let shares: [[Float]]
  /// Tokens that the reference takes at a time, which sizes some tensors that are not read.
  private let block: Int

  package init(_ configuration: inout Configuration) throws {
    let transformer = try Transformer(
      &configuration, .init(inner: 14336, keyHeads: 8, vocabulary: 32000, epsilon: 1e-5, positions: 131_072))
    experts = try configuration.integer("num_local_experts", 8, in: 1...1 << 16)
    rule = ExpertRouter(perToken: try configuration.integer("num_experts_per_tok", 2, in: 1...experts))
    shares = try ["linear_attn", "full_attn", "mlp"].map { what in
      try ["alpha", "beta"].map { Float(try configuration.float("\(what)_\($0)_factor", 1, in: 0...1e6)) }
    }
    let attends = try configuration.attendingLayers(
      "layer_types", count: transformer.shape.layers, recurrent: ["linear_attention"]) { ($0 + 1) % 2 == 0 }
    block = try configuration.integer("block_size", 256, in: 1...1 << 16)
    guard !configuration.has("sliding_window") else { throw configuration.failure("sliding_window", "can only be left out here") }
    configuration.ignore([
      "output_router_logits", "router_aux_loss_coef", "router_jitter_noise", "sliding_window",
    ])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String { "\(stack.arithmetic) experts \(experts) \(rule.perToken) shares \(shares)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    let sizes = stack.transformer.attention
    return try stack.build(from: reader) { layer, prefix in
      let own = prefix + "self_attn."
      let mixer: any Mixer
      if stack.attends[layer] {
        mixer = try stack.attention(own, layer: layer, from: reader)
      } else {
        // Files hold what follows from the configuration.
        for (name, shape) in [
          ("slope_rate", [sizes.heads, 1, 1]), ("query_decay", [sizes.heads, block, 1]),
          ("key_decay", [sizes.heads, block, 1]), ("diagonal_decay", [1, sizes.heads, block, block]),
        ] {
          reader.ignore(own + name, shape: shape)
        }
        mixer = try LightningMixer(
          .init(width: shape.width, heads: sizes.heads, headWidth: sizes.headWidth, epsilon: 1e-6), decays: decays(layer),
          prefix: own, from: reader)
      }
      let feed = try stack.experts(
        experts, inner: stack.transformer.feedForward.inner, prefix: prefix + "block_sparse_moe.", router: "gate", rule: rule,
        names: ("w1", "w3", "w2"), from: reader)
      let share = shares[stack.attends[layer] ? 1 : 0]
      return [
        Block(
          layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer, scale: share[1],
          normShare: share[0]),
        Block(
          layer: layer, norm: try stack.norm(prefix + "post_attention_layernorm.weight", from: reader), mixer: feed,
          scale: shares[2][1], normShare: shares[2][0]),
      ]
    }
  }

  /// The log-decay of each head: slopes as of linear biases, less in later layers.
  private func decays(_ layer: Int) -> [Float] {
    let heads = stack.transformer.attention.heads
    let factor = 1 - Double(layer) / (Double(shape.layers) - 1 + 1e-5) + 1e-5
    return (1...heads).map { Float(-exponential(-8 * Double($0) / Double(heads) * logarithm(2)) * factor) }
  }
}
