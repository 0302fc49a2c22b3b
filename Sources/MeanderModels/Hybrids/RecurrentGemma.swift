import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RecurrentGemma (Botev and others 2024): Griffin's recurrent blocks, and attention to a window in some layers.
package struct RecurrentGemma: HybridArchitecture {
  package static let name = "recurrent_gemma"

  let stack: HybridStack
  private let recurrence: GatedRecurrenceMixer.Sizes

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(width: 2560, inner: 7680 * 2, layers: 26, heads: 10, keyHeads: 1, vocabulary: 256_000, epsilon: 1e-6, positions: 8192))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, true)
    transformer.feedForward.inner /= 2
    transformer.feedForward.hasBias = true
    transformer.feedForward.activation = try configuration.activation("hidden_activation")
    transformer.isTied = try configuration.bool("tie_word_embeddings", true)
    let (width, layers) = (transformer.shape.width, transformer.shape.layers)
    let window = try configuration.integer("attention_window_size", 2048, in: 1...1 << 20)
    recurrence = GatedRecurrenceMixer.Sizes(
      width: width, inner: try configuration.integer("lru_width", width, in: 1...1 << 20), blocks: transformer.attention.heads,
      convolutionWidth: try configuration.integer("conv1d_width", 4, in: 2...64),
      activation: transformer.feedForward.activation)
    guard recurrence.inner % recurrence.blocks == 0 else {
      throw configuration.failure("lru_width", "cannot be shared by \(recurrence.blocks) heads")
    }
    // A pattern that the layers repeat.
    let pattern = try configuration.strings("block_types", ["recurrent", "recurrent", "attention"])
    guard !pattern.isEmpty, pattern.allSatisfy({ ["recurrent", "attention"].contains($0) }) else {
      throw configuration.failure("block_types", "can hold recurrent and attention alone")
    }
    let attends = (0..<layers).map { pattern[$0 % pattern.count] == "attention" }
    transformer.windows = attends.map { $0 ? window : nil }
    configuration.ignore(["final_w_init_variance_scale", "w_init_variance_scale", "layers_block_type", "layer_types"])
    var stack = HybridStack(transformer, attends: attends)
    stack.normOffset = 1
    // The reference keeps it as a bfloat16.
    let root = Float(width).squareRoot()
    stack.embeddingScale = Float(bitPattern: (root.bitPattern + 0x7fff + (root.bitPattern >> 16 & 1)) & 0xffff_0000)
    stack.logitCap = Float(try configuration.float("logits_soft_cap", 30, in: 1e-3...1e6))
    self.stack = stack
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) recurrence \(recurrence.inner) \(recurrence.blocks) \(recurrence.convolutionWidth) \
    \(recurrence.activation.rawValue)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.final_norm.weight"
    return try stack.build(from: reader) { layer, prefix in
      let own = prefix + "temporal_block."
      let mixer: any Mixer = stack.attends[layer]
        ? try stack.attention(own, layer: layer, from: reader) : try GatedRecurrenceMixer(recurrence, prefix: own, from: reader)
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "temporal_pre_norm.weight", from: reader), mixer: mixer),
        Block(
          layer: layer, norm: try stack.norm(prefix + "channel_pre_norm.weight", from: reader),
          mixer: try stack.feedForward(prefix + "mlp_block.", from: reader)),
      ]
    }
  }
}
