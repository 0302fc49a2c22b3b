import MeanderKernels

/// How exactly a state keeps its sums over the past.
///
/// Tokens are taken in by fp32 arithmetic whatever is chosen, and the bits never depend on how the input was cut.
public enum StatePrecision: String, Sendable, CaseIterable {
  /// As the arithmetic gives them.
  case fp32
  /// Rounded to bfloat16, to nearest with ties to even, at every 512th token of the stream: of a sum eight binary digits stay.
  case bf16
  /// With a second fp32 number beside each, in which what a sum rounds away is kept, and comes in with the next insertion (Knuth's
  /// sum of two). Mamba-2's sums; those of Mamba-1, RG-LRU and RWKV-4 are kept so always, and other mixers' stay as they are.
  case compensated
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
      case .record, .other: break
      }
    }
  }
}
