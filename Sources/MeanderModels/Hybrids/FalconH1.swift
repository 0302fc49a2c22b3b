import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Falcon-H1 (Falcon LLM Team 2025): attention and Mamba-2 side by side in every layer, with multipliers around everything.
package struct FalconH1: HybridArchitecture {
  package static let name = "falcon_h1"

  let stack: HybridStack
  let mamba: Mamba2Mixer.Sizes
  /// What rows are multiplied with before and after attention, and Mamba-2; and behind the feed-forward.
  let attention, recurrence: (before: Float, after: Float)
  let down: Float

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 14336, keyHeads: 8, vocabulary: 128_000, epsilon: 1e-5, positions: 8192))
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    transformer.feedForward.hasBias = try configuration.bool("mlp_bias", false)
    func multiplier(_ key: String) throws -> Float { Float(try configuration.float(key, 1, in: -1e6...1e6)) }
    attention = (try multiplier("attention_in_multiplier"), try multiplier("attention_out_multiplier"))
    recurrence = (try multiplier("ssm_in_multiplier"), try multiplier("ssm_out_multiplier"))
    transformer.attention.keyScale = try multiplier("key_multiplier")
    let feed = try configuration.floats("mlp_multipliers", [1, 1], count: 2, in: -1e6...1e6).map { Float($0) }
    transformer.feedForward.gateScale = feed[0]
    down = feed[1]
    var mamba = try configuration.mamba2(width: transformer.shape.width, epsilon: transformer.epsilon)
    mamba.multipliers = try configuration.floats("ssm_multipliers", [1, 1, 1, 1, 1], count: 5, in: -1e6...1e6).map { Float($0) }
    let isBefore = try configuration.bool("mamba_norm_before_gate", true)
    mamba.norm = try configuration.bool("mamba_rms_norm", false) ? (isBefore ? .beforeGate : .afterGate) : .none
    self.mamba = mamba
    try configuration.require("projectors_bias", mamba.hasProjectionBias)
    try configuration.require("mamba_use_mlp", true)
    configuration.ignore(["attn_layer_indices"])
    var stack = HybridStack(transformer, attends: Array(repeating: true, count: transformer.shape.layers))
    stack.embeddingScale = try multiplier("embedding_multiplier")
    stack.logitScale = try multiplier("lm_head_multiplier")
    self.stack = stack
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) \(mamba.arithmetic) multipliers \(mamba.multipliers ?? []) norm \(mamba.norm) attention \
    \(attention.before) \(attention.after) \(stack.transformer.attention.keyScale) recurrence \(recurrence.before) \
    \(recurrence.after) feed \(stack.transformer.feedForward.gateScale) \(down)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.final_layernorm.weight"
    return try stack.build(from: reader) { layer, prefix in
      let mixer = ParallelMixer(
        parts: [
          .init(
            mixer: try Mamba2Mixer(mamba, prefix: prefix + "mamba.", from: reader), before: recurrence.before,
            after: recurrence.after),
          .init(
            mixer: try stack.attention(prefix + "self_attn.", layer: layer, from: reader), before: attention.before,
            after: attention.after),
        ], width: shape.width)
      return [
        Block(layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader), mixer: mixer),
        Block(
          layer: layer, norm: try stack.norm(prefix + "pre_ff_layernorm.weight", from: reader),
          mixer: try stack.feedForward(prefix + "feed_forward.", from: reader), scale: down),
      ]
    }
  }
}
