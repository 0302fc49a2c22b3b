import CMeanderKernels

extension Kernels {
  /// One token of an LSTM (Hochreiter and Schmidhuber 1997, with the forget gate of Gers and others 2000), from the sums of its
  /// four gates: c = σ(f)·c + σ(i)·tanh(g), h = σ(o)·tanh(c). O(I).
  ///
  /// - Parameters:
  ///   - gates: 4·I sums in the order i, f, g, o; on return their activations, which the way back reads.
  ///   - before, cell: c before and after the token, I each; the two may be one place.
  ///   - hidden: h after the token, I.
  package func longShortTermMemoryCell(_ gates: Matrix, before: Matrix, cell: Matrix, hidden: Matrix) {
    let channels = cell.columns
    precondition(
      [gates, before, cell, hidden].allSatisfy { $0.rows == 1 } && gates.columns == 4 * channels
        && before.columns == channels && hidden.columns == channels, "a cell of mismatched shapes")
    // Safe: the shapes were checked above; parts touch disjoint channels.
    let job = meander_lstm_cell(
      gates: gates.base, before: before.base, cell: cell.base, hidden: hidden.base, channels: channels)
    let function = functions.lstm_cell
    withUnsafePointer(to: job) { job in
      team.split(channels, grain: 16, workers: sharing(operations: channels * 80)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }

  /// Back through `longShortTermMemoryCell`: `dcell` goes from the gradient of c after the token to that before it, and `dgates`
  /// (4·I) takes that of the sums. O(I).
  package func longShortTermMemoryCellBackward(
    _ gates: Matrix, before: Matrix, cell: Matrix, dhidden: Matrix, dcell: Matrix, dgates: Matrix
  ) {
    let channels = cell.columns
    precondition(
      [gates, before, cell, dhidden, dcell, dgates].allSatisfy { $0.rows == 1 } && gates.columns == 4 * channels
        && dgates.columns == 4 * channels && [before, dhidden, dcell].allSatisfy { $0.columns == channels },
      "a cell of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_lstm_cell_backward(
      gates: gates.base, before: before.base, cell: cell.base, dhidden: dhidden.base, dcell: dcell.base, dgates: dgates.base,
      channels: channels)
    training.lstm_cell_backward(&job)
  }
}

extension Naive {
  /// An LSTM, token by token. gates: T × 4·I, what the inputs add to the sums of i, f, g and o; recurrent: 4·I × I, what the last
  /// h adds; hidden and cell: I each, moved on. Returns h after each token, T × I.
  @specialized(where Real == Double)
  package static func longShortTermMemory<Real: NaiveReal>(
    gates: [Real], recurrent: [Real], hidden: inout [Real], cell: inout [Real], tokens: Int
  ) -> [Real] {
    let channels = cell.count
    func sigmoid(_ x: Real) -> Real { 1 / (1 + Real.exponential(-x)) }
    func tangent(_ x: Real) -> Real { 2 * sigmoid(2 * x) - 1 }
    var result: [Real] = []
    for t in 0..<tokens {
      var sums = Array(gates[t * 4 * channels..<(t + 1) * 4 * channels])
      for row in sums.indices {
        for column in 0..<channels { sums[row] += recurrent[row * channels + column] * hidden[column] }
      }
      for i in 0..<channels {
        cell[i] =
          sigmoid(sums[channels + i]) * cell[i] + sigmoid(sums[i]) * tangent(sums[2 * channels + i])
        hidden[i] = sigmoid(sums[3 * channels + i]) * tangent(cell[i])
      }
      result += hidden
    }
    return result
  }
}
