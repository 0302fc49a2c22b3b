import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The text part of Qwen3.5 (Qwen Team 2026): as Qwen3-Next, dense, with projections of their own.
package struct Qwen35Text: HybridArchitecture {
  package static let name = "qwen3_5_text"

  let stack: HybridStack
  private let delta: GatedDeltaMixer.Sizes

  package init(_ configuration: inout Configuration) throws {
    (stack, delta) = try HybridStack.qwenHybrid(
      &configuration,
      .init(inner: 12288, heads: 16, keyHeads: 4, vocabulary: 248_320, positions: 32768, headWidth: 256))
    configuration.ignore(["mtp_num_hidden_layers"])
  }

  package var arithmetic: String { stack.arithmetic + " " + delta.arithmetic }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.qwenHybrid(from: reader) { _, prefix in
      try stack.feedForward(prefix, from: reader)
    } recurrence: { prefix in
      func weight(_ name: String, _ outputs: Int) throws -> Weight {
        try reader.weight(prefix + name + ".weight", outputs: outputs, inner: shape.width)
      }
      return try stack.gatedDelta(
        delta, prefix: prefix, inputs: try weight("in_proj_qkv", delta.channels), strength: try weight("in_proj_b", delta.heads),
        decay: try weight("in_proj_a", delta.heads), gate: try weight("in_proj_z", delta.values), from: reader)
    }
  }
}
