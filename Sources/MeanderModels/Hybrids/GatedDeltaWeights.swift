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

extension GatedDeltaMixer {
  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on, with a convolution each of q, k and v.
  ///
  /// - Parameters:
  ///   - channels: of the three convolutions, where the file cuts them otherwise.
  ///   - decays, isGated: whether the layer has a_proj, A_log and dt_bias, and g_proj.
  init(
    _ sizes: Sizes, prefix: String, channels: [Int]? = nil, decays: Bool = true, isGated: Bool = true, from reader: WeightReader
  ) throws {
    func weight(_ name: String, _ outputs: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: sizes.width)
    }
    func row(_ name: String, _ count: Int) throws -> Matrix { try reader.row(prefix + name, count: count) }
    let heads = sizes.heads
    self.init(
      sizes,
      .init(
        inputs: [try weight("q_proj", sizes.keys), try weight("k_proj", sizes.keys), try weight("v_proj", sizes.values)],
        convolutions: try zip(["q", "k", "v"], channels ?? [sizes.keys, sizes.keys, sizes.values]).map { name, count in
          try reader.convolution(
            prefix + name + "_conv1d.weight", channels: count, width: sizes.convolutionWidth, bias: nil)
        },
        strength: try weight("b_proj", heads),
        decay: decays
          ? .init(projection: .full(try weight("a_proj", heads)), logRate: try row("A_log", heads), bias: try row("dt_bias", heads))
          : nil,
        gate: isGated ? .full(try weight("g_proj", sizes.values)) : nil, norm: try row("o_norm.weight", sizes.headWidth),
        out: try reader.weight(prefix + "o_proj.weight", outputs: sizes.width, inner: sizes.values)))
  }
}
