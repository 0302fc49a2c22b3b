import MeanderKernels

extension Mamba2 {
  /// As Mamba-2's authors begin (Dao and Gu 2024): projections and convolution uniform within 1/√fan-in, the output
  /// projection divided by √L, embeddings normal with deviation 0.02, A and the time steps drawn for each head by itself.
  ///
  /// With `baseWidth`, maximal update (Yang and others 2022): what reads from the embedding's scale is unchanged, and the
  /// logits of a wider model are scaled down through the final norm, which stands before the head.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    func draw(_ value: (inout SplitMix64) -> Double) -> [Float] {
      (0..<entry.count).map { _ in Float(value(&generator)) }
    }
    func uniform(_ bound: Double) -> [Float] { draw { (2 * $0.uniform() - 1) * bound } }
    let name = entry.name
    switch name.split(separator: ".").suffix(2).joined(separator: ".") {
    case "in_proj.weight": return uniform(1 / Double(entry.columns).squareRoot())
    case "out_proj.weight":
      return uniform(1 / Double(entry.columns).squareRoot() / Double(shape.layers).squareRoot())
    case "conv1d.weight", "conv1d.bias": return uniform(1 / Double(mixer.convolutionWidth).squareRoot())
    case "in_proj.bias", "out_proj.bias": return draw { _ in 0 }
    case "mixer.D", "norm.weight": return draw { _ in 1 }
    case "norm_f.weight": return draw { _ in options.baseWidth.map { Double($0) / Double(shape.width) } ?? 1 }
    case "mixer.A_log": return draw { StackInitialization.logRate(options, &$0) }
    case "mixer.dt_bias": return draw { StackInitialization.timeStepBias(options, &$0) }
    default: return draw { $0.normal() * 0.02 }
    }
  }
}
