import MeanderErrors
import MeanderFiles
import MeanderKernels

/// OLMo-hybrid (Ai2 2026): the gated delta rule with negative eigenvalues, and attention in some layers, whose norms stand behind
/// attention and feed-forward instead of before them.
package struct OlmoHybrid: HybridArchitecture {
  package static let name = "olmo_hybrid"

  let stack: HybridStack
  private let delta: GatedDeltaMixer.Sizes

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(width: 3840, heads: 30, vocabulary: 100_352, epsilon: 1e-6, positions: 65536))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    // Released models have no positions, which their configuration says by no base.
    let inner = try configuration.object("rope_parameters")
    if !configuration.has("rope_theta"), inner?.has("rope_theta") != true { transformer.turn(0, RotaryScaling()) }
    transformer.attention.headNorm = transformer.epsilon
    transformer.attention.normsRows = true
    // The norm behind the delta rule has an epsilon of its own.
    var delta = try configuration.gatedDelta(width: transformer.shape.width, epsilon: 1e-5)
    delta.negativeEigenvalues = try configuration.bool("linear_allow_neg_eigval", true)
    self.delta = delta
    let count = transformer.shape.layers
    let attends = try configuration.attendingLayers(
      "layer_types", count: count, recurrent: ["linear_attention"]) { $0 % 4 == 3 || $0 == count - 1 }
    configuration.ignore([
      "linear_a_log_max", "linear_a_log_min", "linear_dt_init_floor", "linear_dt_max", "linear_dt_min",
    ])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String { stack.arithmetic + " " + delta.arithmetic }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { layer, prefix in
      let feed = try stack.feedForward(prefix + "mlp.", from: reader)
      func norm(_ name: String) throws -> Norm { try stack.norm(prefix + name + ".weight", from: reader) }
      guard stack.attends[layer] else {
        return [
          Block(layer: layer, norm: try norm("attention_layer_norm"), mixer: try recurrence(prefix + "linear_attn.", reader)),
          Block(layer: layer, norm: try norm("feedforward_layer_norm"), mixer: feed),
        ]
      }
      return [
        Block(
          layer: layer, norm: nil, mixer: try stack.attention(prefix + "self_attn.", layer: layer, from: reader),
          outputNorm: try norm(afterAttention(prefix, reader))),
        Block(layer: layer, norm: nil, mixer: feed, outputNorm: try norm("post_feedforward_layernorm")),
      ]
    }
  }

  /// Files that transformers wrote back from its own names call it as the recurrent layers call another norm.
  private func afterAttention(_ prefix: String, _ reader: WeightReader) -> String {
    reader.has(prefix + "feedforward_layer_norm.weight") ? "feedforward_layer_norm" : "post_attention_layernorm"
  }

  private func recurrence(_ prefix: String, _ reader: WeightReader) throws -> GatedDeltaMixer {
    // A file may cut the channels of the three convolutions, which follow one another, in another way than by q, k and v.
    let own = [delta.keys, delta.keys, delta.values]
    let names = ["q", "k", "v"].map { prefix + $0 + "_conv1d.weight" }
    let found = names.compactMap { reader.shape(of: $0)?.first }
    let cut = found.count == 3 && found.reduce(0, +) == delta.channels ? found : own
    return try GatedDeltaMixer(delta, prefix: prefix, channels: cut, from: reader)
  }
}
