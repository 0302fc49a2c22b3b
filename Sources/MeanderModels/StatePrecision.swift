import MeanderKernels

/// How exactly a state keeps its sums over the past.
///
/// Tokens are taken in by fp32 arithmetic whatever is chosen. What `bf16` does is done at multiples of the stream's grid of 512
/// tokens, so that the bits do not depend on how the input was cut.
public enum StatePrecision: String, Sendable, CaseIterable {
  /// As the arithmetic gives them.
  case fp32
  /// Rounded to bfloat16, to nearest with ties to even, at every 512th token of the stream: of a sum eight binary digits stay.
  case bf16
}

extension LanguageModel {
  /// Rounds every sum over the past, in every mixer that has such: their regions say that they hold them.
  func round(_ state: ModelState, _ kernels: Kernels) {
    guard plan.precision == .bf16, state.position % Int64(Self.grid) == 0 else { return }
    for region in layout.regions {
      switch region.role {
      case .recurrence: kernels.roundToBF16(state.matrix(region))
      // It would hold what rounding took away.
      case .rest: state.matrix(region).fill(0)
      case .other: break
      }
    }
  }
}
