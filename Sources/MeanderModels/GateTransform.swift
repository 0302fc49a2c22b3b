import MeanderKernels

/// The one gate transform that holds every published fix of state collapse: how a head's raw time step becomes its
/// retention and its insertion, the same in `naive`, `scan` and `chunk`.
///
///     dt'  = sD · softplus(dt + bias)          scale of the time step     (MambaExtend)
///     dt'' = dt' if dt' ≥ g else 0             token filter               (LongMamba)
///     a    = cA · exp(sA · A · dt'')           retention                  (Mamba Modulation, Stuffed Mamba)
///     w    = sB · dt''                         insertion                  (Stuffed Mamba)
///     h    = a·h + w·(x ⊗ B)
///
/// The identity leaves the model as it was trained. What is not linear and local to a token (norm caps, windows, resets)
/// acts between tokens, at multiples of `LanguageModel.grid`.
package struct GateTransform: Sendable, Hashable {
  /// sD, the scale of the time step.
  package var timeStepScale: Float = 1
  /// g, below which a token is not written at all.
  package var threshold: Float = 0
  /// sA, the scale of the decay rate A.
  package var rateScale: Double = 1
  /// ln cA, which joins the log-decay of every token.
  package var logRetention: Double = 0
  /// sB, a factor on the insertion of every token.
  package var insertion: Float = 1

  package init() {}

  package static let identity = GateTransform()

  /// The head as the kernels want it, with this transform on top of what the model was trained with.
  func applied(to gate: HeadGate) -> HeadGate {
    var result = gate
    result.scale *= timeStepScale
    result.threshold = max(result.threshold, threshold)
    result.rate *= rateScale
    result.logRetention += logRetention
    result.insertion *= insertion
    return result
  }

  /// What of the transform the scan of a layer without heads takes.
  var channelGate: ChannelGate {
    var gate = ChannelGate()
    gate.rateScale = Float(rateScale)
    gate.logRetention = Float(logRetention)
    gate.insertion = insertion
    return gate
  }
}
