import MeanderKernels

/// What of a mixer mitigations can change.
package enum MixerGating: Sendable {
  /// Nothing, and nothing needs it: the mixer has no recurrent state. Mitigations pass it over.
  case none
  /// Nothing, although its state is recurrent; why.
  case fixed(reason: String)
  /// Heads with one time step and one decay each: everything. A of each head as it was trained.
  case heads(_ rates: [Double], stateSize: Int, headWidth: Int)
  /// Heads whose states may be exchanged for others that took in the same tokens, and nothing else; why.
  case states(heads: Int, stateSize: Int, headWidth: Int, reason: String)
  /// One transform for the whole layer, whose entries decay each by itself: what is local to a token.
  case channels

  /// How many transforms the layer takes.
  var count: Int {
    switch self {
    case .none, .fixed, .states: 0
    case .heads(let rates, _, _): rates.count
    case .channels: 1
    }
  }
}

extension Mixer {
  package var gating: MixerGating { .fixed(reason: "its mixer has no gate transform") }
  package func headed(_ state: MixerState) -> HeadedState? { nil }
}

/// A layer's recurrent state as what acts between tokens finds it.
package struct HeadedState {
  /// H
  package let heads: Int
  /// (H·N) × P, to be multiplied by exp(pending).
  package let recurrence: Matrix
  /// Per head, the log-decay that is not yet multiplied in, and that since the start.
  package let pending: Doubles
  package let total: Doubles

  package init(heads: Int, recurrence: Matrix, pending: Doubles, total: Doubles) {
    (self.heads, self.recurrence, self.pending, self.total) = (heads, recurrence, pending, total)
  }

  /// The rows of one head in a matrix that is laid out like `recurrence`.
  func rows(_ head: Int, of matrix: Matrix) -> Matrix {
    let count = matrix.rows / heads
    return matrix.rows(head * count..<(head + 1) * count)
  }

  /// The stored numbers of one head.
  func stored(_ head: Int) -> Matrix { rows(head, of: recurrence) }
}

/// A second recurrent state beside a layer's own: it takes in the same tokens, is not read, and shares the pending
/// decay.
package struct ShadowState {
  /// (H·N) × P
  package let recurrence: Matrix
  /// Per head, the product of the factors that the stored numbers were really multiplied by, where someone needs it.
  package let factors: Doubles?

  package init(recurrence: Matrix, factors: Doubles?) { (self.recurrence, self.factors) = (recurrence, factors) }

  /// The same for a form of the recurrence that has no such factors: from the decays. `before`: total - pending,
  /// earlier.
  func gatherFactors(total: Doubles, pending: Doubles, since before: [Double]) {
    guard let factors else { return }
    for head in 0..<factors.count { factors[head] *= exponential(total[head] - pending[head] - before[head]) }
  }
}
