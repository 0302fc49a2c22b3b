import MeanderKernels

/// What a run of predictions cost, summed over its targets.
package struct LossSum: Sendable {
  /// Σ weight · surprise, in nats.
  package var loss = 0.0
  /// Σ weight
  package var weight = 0.0
  /// How many targets of weight 1 or more there were, and how many of them had the largest logit.
  package var answers = 0
  package var right = 0

  package init() {}

  package static func += (sum: inout LossSum, other: LossSum) {
    sum.loss += other.loss
    sum.weight += other.weight
    sum.answers += other.answers
    sum.right += other.right
  }
}

extension Operations {
  /// Adds to `sum` what the targets of `hidden` rows cost, and with a tape begins its way back there: the gradient of
  /// scale · Σ weight · surprise. Rows of weight 0 cost nothing, not even their logits.
  ///
  /// - Parameters:
  ///   - hidden: T × D, normalised.
  ///   - sum: takes the loss when the tape is walked, or at once without one.
  package func crossEntropy(
    _ hidden: Matrix, head: OutputHead, targets: [Int32], weights: [Float], scale: Float, sum: @escaping (LossSum) -> Void
  ) {
    for run in Self.runs(of: weights) {
      let mark = arena.mark()
      let logits = self.logits(hidden.rows(run), head)
      let (kernels, clock) = (kernels, clock)
      func settle(_ gradient: Matrix) {
        clock.measure(.loss) {
          let (losses, hits) = kernels.crossEntropy(
            logits, targets: targets[run], weights: weights[run], scale: scale, gradient: gradient)
          sum(LossSum(losses: losses, hits: hits, weights: weights[run]))
        }
      }
      if let tape {
        let gradients = tape.gradients
        tape.record { settle(gradients.of(logits)) }
      } else {
        settle(logits)
        arena.release(to: mark)
      }
    }
  }

  /// The runs of consecutive rows that have a weight, at most 512 rows each.
  private static func runs(of weights: [Float]) -> [Range<Int>] {
    var runs: [Range<Int>] = []
    var start = 0
    while start < weights.count {
      guard weights[start] != 0 else {
        start += 1
        continue
      }
      var end = start
      while end < weights.count, weights[end] != 0, end - start < 512 { end += 1 }
      runs.append(start..<end)
      start = end
    }
    return runs
  }
}

extension LossSum {
  fileprivate init(losses: [Float], hits: [Float], weights: ArraySlice<Float>) {
    for (index, weight) in weights.enumerated() {
      loss += Double(losses[index])
      self.weight += Double(weight)
      if weight >= 1 {
        answers += 1
        if hits[index] > 0 { right += 1 }
      }
    }
  }
}
