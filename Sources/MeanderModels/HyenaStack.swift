import MeanderErrors
import MeanderFiles
import MeanderKernels

/// What models of Hyena layers have in common, whatever their filters are: a hybrid's stack, in which a layer attends where
/// `layer_types` says so and is a long convolution elsewhere.
package struct HyenaStack: Sendable {
  package let stack: HybridStack
  package let mixer: HyenaMixer.Sizes
  /// What a filter's length is where nobody says: the positions that the model was made for.
  package let positions: Int

  package init(_ configuration: inout Configuration) throws {
    let transformer = try Transformer(&configuration, .init(width: 256, inner: 1024, layers: 8, heads: 4, vocabulary: 256))
    let attends = try configuration.attendingLayers(
      "layer_types", count: transformer.shape.layers, recurrent: ["hyena"]) { _ in false }
    stack = HybridStack(transformer, attends: attends)
    mixer = HyenaMixer.Sizes(
      width: transformer.shape.width, order: try configuration.integer("order", 2, in: 2...8),
      kernel: try configuration.integer("conv_kernel", 3, in: 2...64))
    positions = transformer.positions
  }

  package var arithmetic: String { "\(stack.arithmetic) order \(mixer.order) kernel \(mixer.kernel)" }

  /// How many channels all stages of a layer's filter have together.
  package var filterChannels: Int { (mixer.order - 1) * mixer.width }

  /// The blocks, whose filters `filter` makes of the tensors of a layer that a prefix begins.
  package func build(
    from reader: WeightReader, filter: (_ layer: Int, _ prefix: String) throws -> any LongFilter
  ) throws -> Blocks {
    try stack.build(from: reader) { layer, prefix in
      let own: any Mixer
      if stack.attends[layer] {
        own = try stack.attention(prefix + "self_attn.", layer: layer, from: reader)
      } else {
        own = try HyenaMixer(
          mixer, filter: try filter(layer, prefix + "mixer.filter."), prefix: prefix + "mixer.", from: reader)
      }
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: own),
        Block(
          layer: layer, norm: try stack.norm(prefix + "post_attention_layernorm.weight", from: reader),
          mixer: try stack.feedForward(prefix + "mlp.", from: reader)),
      ]
    }
  }
}
