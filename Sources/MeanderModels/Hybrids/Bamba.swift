import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Bamba (IBM and others 2024): Mamba-2 layers, some of which attend instead.
package struct Bamba: HybridArchitecture {
  package static let name = "bamba"

  let stack: HybridStack
  private let mamba: Mamba2Mixer.Sizes

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 14336, keyHeads: 8, vocabulary: 128_000, epsilon: 1e-5, positions: 262_144))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    if let turned = try configuration.optionalInteger("attn_rotary_emb", in: 0...transformer.attention.headWidth) {
      transformer.turn(turned / 2 * 2, try RotaryScaling.read(&configuration, length: transformer.positions).0)
    }
    transformer.feedForward.hasBias = try configuration.bool("mlp_bias", false)
    mamba = try configuration.mamba2(width: transformer.shape.width, epsilon: transformer.epsilon)
    let listed = try configuration.integers("attn_layer_indices", [], in: 0...1 << 16)
    let attends = try configuration.attendingLayers(
      "layers_block_type", count: transformer.shape.layers, recurrent: ["mamba", "linear_attention"]) { listed.contains($0) }
    configuration.ignore(["z_loss_coefficient"])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String { stack.arithmetic + " " + mamba.arithmetic }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.final_layernorm.weight"
    return try stack.build(from: reader) { layer, prefix in
      let mixer: any Mixer = stack.attends[layer]
        ? try stack.attention(prefix + "self_attn.", layer: layer, from: reader)
        : try Mamba2Mixer(mamba, prefix: prefix + "mamba.", from: reader)
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer),
        Block(
          layer: layer, norm: try stack.norm(prefix + "pre_ff_layernorm.weight", from: reader),
          mixer: try stack.feedForward(prefix + "feed_forward.", from: reader)),
      ]
    }
  }
}
