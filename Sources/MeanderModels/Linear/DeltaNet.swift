import MeanderErrors
import MeanderFiles

/// DeltaNet (Schlag and others 2021; Yang and others 2024), in the layout of flash-linear-attention: the delta rule without decay.
package struct DeltaNet: LinearArchitecture {
  package static let name = "delta_net"

  let stack: LinearStack
  private let mixer: GatedDeltaMixer.Sizes
  private let isGated: Bool

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.linearMembers(name, heads: shape.heads()) + [("expand_v", JSON(1))]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration, hasConvolution: true)
    let width = stack.shape.width
    let heads = try configuration.integer("num_heads", 16, in: 1...1 << 16)
    var sizes = GatedDeltaMixer.Sizes(
      width: width, heads: heads, keyHeads: heads,
      headWidth: try configuration.expanded("expand_v", 1, width: width, heads: heads) / heads,
      stateSize: try configuration.expanded("expand_k", 1, width: width, heads: heads) / heads,
      convolutionWidth: try configuration.integer("conv_size", 4, in: 2...64), epsilon: stack.epsilon)
    sizes.negativeEigenvalues = try configuration.bool("allow_neg_eigval", false)
    mixer = sizes
    isGated = try configuration.bool("use_gate", false)
    try configuration.require("use_beta", true)
    try configuration.require("use_output_norm", true)
    _ = try configuration.optionalString("qk_activation", among: ["silu"])
    _ = try configuration.optionalString("qk_norm", among: ["l2"])
  }

  package var arithmetic: String { "\(stack.arithmetic) \(mixer.arithmetic) gated \(isGated)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { _, prefix in
      try GatedDeltaMixer(mixer, prefix: prefix, decays: false, isGated: isGated, from: reader)
    }
  }
}
