import MeanderErrors
import MeanderFiles

/// Gated DeltaNet (Yang and others 2025), in the layout of flash-linear-attention.
package struct GatedDeltaNet: LinearArchitecture {
  package static let name = "gated_deltanet"

  let stack: LinearStack
  private let mixer: GatedDeltaMixer.Sizes
  private let isGated: Bool

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.members(name) + [
      ("intermediate_size", JSON(2 * shape.width)), ("tie_word_embeddings", .bool(true)), ("num_heads", JSON(shape.heads())),
      ("head_dim", JSON(shape.stateSize)), ("expand_v", JSON(Double(shape.headWidth) / Double(shape.stateSize))),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration, layers: 21, hasConvolution: true)
    let keyHeads = try configuration.integer("num_heads", 6, in: 1...1 << 16)
    let heads = try configuration.integer("num_v_heads", keyHeads, in: 1...1 << 16)
    guard heads % keyHeads == 0 else {
      throw configuration.failure("num_heads", "is \(keyHeads), which \(heads) heads of values cannot share")
    }
    let size = try configuration.integer("head_dim", 256, in: 1...1 << 16)
    var sizes = GatedDeltaMixer.Sizes(
      width: stack.shape.width, heads: heads, keyHeads: keyHeads,
      headWidth: try configuration.expanded("expand_v", 2, width: size, heads: 1), stateSize: size,
      convolutionWidth: try configuration.integer("conv_size", 4, in: 2...64), epsilon: stack.epsilon)
    sizes.negativeEigenvalues = try configuration.bool("allow_neg_eigval", false)
    mixer = sizes
    isGated = try configuration.bool("use_gate", true)
  }

  package var arithmetic: String { "\(stack.arithmetic) \(mixer.arithmetic) gated \(isGated)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { _, prefix in
      try GatedDeltaMixer(mixer, prefix: prefix, isGated: isGated, from: reader)
    }
  }
}
