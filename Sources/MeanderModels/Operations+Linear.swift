import MeanderKernels

extension Operations {
  /// The linear recurrence of the family, outputs × (H·R·P): `LinearInputs` says what it is. The state moves on by all T tokens.
  ///
  /// - Parameters:
  ///   - inputs: q of the last `outputs` tokens, all else of T.
  ///   - state: (H·N) × P, to be multiplied by exp(pending).
  ///   - pending, total: the log-decay that is not yet in the state, and that since the start: H numbers, or H·N.
  package func linearScan(_ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles) -> Matrix {
    let y = arena.matrix(rows: inputs.q.rows, columns: inputs.v.columns)
    switch form {
    case .scan:
      let mark = arena.mark()
      let scratch = arena.matrix(rows: inputs.tokens, columns: inputs.scratchPerToken)
      kernels.linearScan(inputs, state: state, pending: pending, total: total, scratch: scratch, into: y)
      arena.release(to: mark)
    case .naive:
      naiveLinearScan(inputs, state: state, pending: pending, total: total, into: y)
    case .chunk:
      linearChunkScan(inputs, state: state, pending: pending, total: total, into: y)
    }
    return y
  }

  private func linearChunkScan(_ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles, into y: Matrix) {
    guard let tape else {
      let unread = inputs.tokens - y.rows
      var padded = inputs
      padded.q = Matrix(rows: inputs.tokens, columns: inputs.q.columns)
      padded.q.rows(unread..<inputs.tokens).copy(from: inputs.q)
      let all = Matrix(rows: inputs.tokens, columns: y.columns)
      kernels.linearChunkScan(padded, state: state, pending: pending, total: total, boundaries: nil, into: all)
      y.copy(from: all.rows(unread..<inputs.tokens))
      return
    }
    precondition(y.rows == inputs.tokens, "training asks for every output")
    let boundaries = LinearBoundaries()
    timed(.scan) {
      self.kernels.linearChunkScan(inputs, state: state, pending: pending, total: total, boundaries: boundaries, into: y)
    }
    if repeats > 1 { tape.block("a power of a stretch through a linear recurrence") }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    tape.record {
      clock.measure(.scan) {
        let targets = LinearGradients(
          q: gradients.of(inputs.q), k: gradients.of(inputs.k), v: gradients.of(inputs.v), decay: gradients.of(inputs.decay),
          removal: inputs.removal.map { gradients.of($0) }, replacement: inputs.replacement.map { gradients.of($0) },
          strength: inputs.strength.map { gradients.of($0) })
        kernels.linearChunkScanBackward(
          inputs, boundaries: boundaries, dy: gradients.of(y), dstate: gradients.of(state), gradients: targets)
      }
    }
  }

  private func naiveLinearScan(_ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles, into y: Matrix) {
    let (tokens, outputs) = (inputs.tokens, y.rows)
    guard tokens > 0 else { return }
    let left = pending.array()
    let perDecay = state.rows * state.columns / left.count
    let stored = state.doubles.enumerated().map { $1 * Double.exponential(left[$0 / perDecay]) }
    let result = Naive.linearScan(NaiveLinearInputs<Double>(inputs, state: stored))
    state.copy(from: result.states[tokens - 1])
    y.copy(from: Array(result.y.suffix(outputs * y.columns)))
    pending.fill(0)
    for index in 0..<total.count {
      for token in 0..<tokens { total[index] += Double(inputs.decay[token, index]) }
    }
  }
}
