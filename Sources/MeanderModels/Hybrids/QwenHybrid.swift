import MeanderErrors
import MeanderFiles
import MeanderKernels

extension HybridStack {
  /// What Qwen's hybrids have in common.
  static func qwenHybrid(
    _ configuration: inout Configuration, _ defaults: Transformer.Defaults
  ) throws -> (HybridStack, GatedDeltaMixer.Sizes) {
    var transformer = try Transformer(&configuration, defaults)
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    transformer.attention.headNorm = transformer.epsilon
    transformer.attention.headNormOffset = 1
    transformer.attention.hasGate = true
    let delta = try configuration.gatedDelta(width: transformer.shape.width, epsilon: transformer.epsilon)
    let every = try configuration.integer("full_attention_interval", 4, in: 1...1 << 16)
    let attends = try configuration.attendingLayers(
      "layer_types", count: transformer.shape.layers, recurrent: ["linear_attention"]) { ($0 + 1) % every == 0 }
    var stack = HybridStack(transformer, attends: attends)
    stack.normOffset = 1
    return (stack, delta)
  }

  func qwenHybrid(
    from reader: WeightReader, feedForward: (_ layer: Int, _ prefix: String) throws -> any Mixer,
    recurrence: (_ prefix: String) throws -> GatedDeltaMixer
  ) throws -> Blocks {
    try build(from: reader) { layer, prefix in
      let mixer: any Mixer = attends[layer]
        ? try attention(prefix + "self_attn.", layer: layer, from: reader) : try recurrence(prefix + "linear_attn.")
      return [
        Block(layer: layer, norm: try norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer),
        Block(
          layer: layer, norm: try norm(prefix + "post_attention_layernorm.weight", from: reader),
          mixer: try feedForward(layer, prefix + "mlp.")),
      ]
    }
  }

  func gatedDelta(
    _ delta: GatedDeltaMixer.Sizes, prefix: String, inputs: Weight, strength: Weight, decay: Weight, gate: Weight,
    from reader: WeightReader
  ) throws -> GatedDeltaMixer {
    GatedDeltaMixer(
      delta,
      .init(
        inputs: [inputs],
        convolutions: [
          try reader.convolution(
            prefix + "conv1d.weight", channels: delta.channels, width: delta.convolutionWidth, bias: nil)
        ],
        strength: strength,
        decay: .init(
          projection: .full(decay), logRate: try reader.row(prefix + "A_log", count: delta.heads),
          bias: try reader.row(prefix + "dt_bias", count: delta.heads)),
        gate: .full(gate),
        norm: try reader.row(prefix + "norm.weight", count: delta.headWidth),
        out: try reader.weight(prefix + "out_proj.weight", outputs: shape.width, inner: delta.values)))
  }
}
