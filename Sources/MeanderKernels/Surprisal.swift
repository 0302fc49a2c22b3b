import CMeanderKernels

/// What one head's state looks like.
package struct HeadStatistics: Sendable, Equatable {
  /// Σ of squares of the stored numbers.
  package var sumOfSquares: Double
  /// The largest magnitude.
  package var largest: Float
  /// Whether every number is finite.
  package var isFinite: Bool { sumOfSquares.isFinite }

  package init(sumOfSquares: Double, largest: Float) {
    self.sumOfSquares = sumOfSquares
    self.largest = largest
  }
}

extension Kernels {
  /// The surprise of each row's target, in nats: log Σ exp(row) - row[target]. logits: T × V; targets lie below V.
  package func surprisals(_ logits: Matrix, targets: ArraySlice<Int32>) -> [Float] {
    precondition(targets.count == logits.rows, "\(targets.count) targets for \(logits.rows) rows")
    precondition(targets.allSatisfy { $0 >= 0 && $0 < logits.columns }, "a target past the vocabulary")
    let function = functions.surprisals
    // Safe: every row has a target inside it and a place in the result; parts write disjoint places.
    return [Float](unsafeUninitializedCapacity: logits.rows) { result, count in
      targets.withUnsafeBufferPointer { targets in
        guard let start = targets.baseAddress, let results = result.baseAddress else { return }
        let job = meander_surprisal(
          logits: logits.base, stride: logits.stride, columns: logits.columns, targets: start, surprisals: results)
        withUnsafePointer(to: job) { job in
          team.split(logits.rows, workers: sharing(operations: logits.rows * logits.columns * 12)) {
            function(job, $0.lowerBound, $0.upperBound)
          }
        }
      }
      count = logits.rows
    }
  }

  /// Each head's statistics; state: (H·N) × P, contiguous. Complexity: O(size of the state).
  package func headStatistics(_ state: Matrix, heads: Int) -> [HeadStatistics] {
    precondition(heads > 0 && state.rows % heads == 0 && state.stride == state.columns, "a state of \(heads) heads")
    let size = state.rows / heads * state.columns
    let function = functions.statistics
    return [HeadStatistics](unsafeUninitializedCapacity: heads) { result, count in
      // Safe: a head's numbers are contiguous, and parts write disjoint places of the result.
      let results = result
      team.split(heads, workers: sharing(operations: heads * size)) { part in
        for head in part {
          var (sumOfSquares, largest) = (0.0, Float(0))
          function(state.base + head * size, size, &sumOfSquares, &largest)
          results.initializeElement(at: head, to: HeadStatistics(sumOfSquares: sumOfSquares, largest: largest))
        }
      }
      count = heads
    }
  }
}
