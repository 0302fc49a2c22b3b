import MeanderErrors
import MeanderFiles
import MeanderKernels

extension Configuration {
  /// The sizes of a gated delta rule under the keys `linear_num_value_heads` and so on.
  mutating func gatedDelta(width: Int, epsilon: Float) throws -> GatedDeltaMixer.Sizes {
    let heads = try integer("linear_num_value_heads", 32, in: 1...1 << 16)
    let keyHeads = try integer("linear_num_key_heads", 16, in: 1...1 << 16)
    guard heads % keyHeads == 0 else {
      throw failure("linear_num_key_heads", "is \(keyHeads), which \(heads) heads of values cannot share")
    }
    return GatedDeltaMixer.Sizes(
      width: width, heads: heads, keyHeads: keyHeads, headWidth: try integer("linear_value_head_dim", 128, in: 1...1 << 16),
      stateSize: try integer("linear_key_head_dim", 128, in: 1...1 << 16),
      convolutionWidth: try integer("linear_conv_kernel_dim", 4, in: 2...64), epsilon: epsilon)
  }
}

extension GatedDeltaMixer.Sizes {
  /// What of it changes what is computed.
  var arithmetic: String {
    """
    delta heads \(heads) \(keyHeads) \(headWidth) state \(stateSize) convolution \(convolutionWidth) epsilon \(epsilon) \
    negative \(negativeEigenvalues)
    """
  }
}
