import MeanderErrors
import MeanderFiles
import MeanderKernels

/// LFM2 (Liquid AI 2025): gated short convolutions, and attention in some layers.
package struct LFM2: HybridArchitecture {
  package static let name = "lfm2"

  let stack: HybridStack
  let kernel: Int
  let hasBias: Bool

  package init(_ configuration: inout Configuration) throws {
    let inner = try configuration.integer("intermediate_size", 12288, in: 1...1 << 22)
    kernel = try configuration.integer("conv_L_cache", 3, in: 1...64)
    hasBias = try configuration.bool("conv_bias", false)
    var transformer = try Transformer(
      &configuration, .init(width: 2560, keyHeads: 8, vocabulary: 65536, positions: 128_000))
    transformer.epsilon = Float(try configuration.float("norm_eps", 1e-5, in: 0...1))
    transformer.attention.headNorm = transformer.epsilon
    transformer.isTied = try configuration.bool("tie_embedding", transformer.isTied)
    transformer.feedForward.inner = inner
    if try configuration.bool("block_auto_adjust_ff_dim", true) {
      let multiple = try configuration.integer("block_multiple_of", 256, in: 1...1 << 16)
      let share = Double(2 * inner / 3) * (try configuration.float("block_ffn_dim_multiplier", 1, in: 0.001...64))
      transformer.feedForward.inner = (Int(share) + multiple - 1) / multiple * multiple
    }
    let listed = try configuration.integers("full_attn_idxs", [], in: 0...1 << 16)
    let attends = try configuration.attendingLayers(
      "layer_types", count: transformer.shape.layers, recurrent: ["conv"]) { listed.contains($0) }
    configuration.ignore(["block_multiple_of", "block_ffn_dim_multiplier", "block_dim", "block_ff_dim", "conv_dim", "conv_dim_out",
      "block_mlp_init_scale", "block_norm_eps", "block_out_init_scale", "block_use_swiglu", "block_use_xavier_init",
      "conv_use_xavier_init", "use_pos_enc", "num_heads"])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String { stack.arithmetic + " kernel \(kernel) bias \(hasBias)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.embedding_norm.weight"
    return try stack.build(from: reader) { layer, prefix in
      let mixer: any Mixer
      if stack.attends[layer] {
        let own = prefix + "self_attn."
        mixer = try stack.attention(own, layer: layer, from: reader) {
          ($0.output, $0.qNorm, $0.kNorm) = (own + "out_proj", own + "q_layernorm", own + "k_layernorm")
        }
      } else {
        mixer = try ShortConvolutionMixer(
          width: shape.width, kernel: kernel, hasBias: hasBias, prefix: prefix + "conv.", from: reader)
      }
      let feed = try stack.feedForward(prefix + "feed_forward.", from: reader, gate: "w1", up: "w3", down: "w2")
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "operator_norm.weight", from: reader), mixer: mixer),
        Block(layer: layer, norm: try stack.norm(prefix + "ffn_norm.weight", from: reader), mixer: feed),
      ]
    }
  }
}
