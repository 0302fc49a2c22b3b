import MeanderFiles
import MeanderKernels

extension Operations {
  /// The linear recurrence of the family, outputs × (H·P): `LinearInputs` says what it is. The state moves on by all T tokens.
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
          removal: inputs.removal.map { gradients.of($0) }, replacement: inputs.replacement.map { gradients.of($0) })
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
    let unread = [Double](repeating: 0, count: (tokens - outputs) * inputs.q.columns)
    let result = Naive.linearScan(
      NaiveLinearInputs<Double>(
        q: unread + inputs.q.doubles, k: inputs.k.doubles, v: inputs.v.doubles, decay: inputs.decay.doubles,
        removal: inputs.removal?.doubles ?? [], replacement: inputs.replacement?.doubles ?? [], state: stored,
        heads: inputs.heads, groups: inputs.groups, tokens: tokens, readsBefore: inputs.readsBefore))
    state.copy(from: result.states[tokens - 1])
    y.copy(from: Array(result.y.suffix(outputs * y.columns)))
    pending.fill(0)
    for index in 0..<total.count {
      for token in 0..<tokens { total[index] += Double(inputs.decay[token, index]) }
    }
  }
}

/// The regions of a linear recurrence's state, in a mixer's list of regions from `first` on.
struct LinearState {
  let heads, size, width, decays: Int
  /// The index of the first region.
  let first: Int

  /// G (H × N × P), what is pending, and the log-decay since the start.
  func declare(in layout: inout StateLayout, layer: String, name: String) -> [StateRegion] {
    [
      layout.append("\(layer).\(name)", .f32, [heads, size, width], role: .recurrence),
      layout.append("\(layer).\(name)_pending", .f64, [heads * decays]),
      layout.append("\(layer).\(name)_retention", .f64, [heads * decays]),
    ]
  }

  func stored(_ state: MixerState) -> Matrix { state.matrix(first) }
  func pending(_ state: MixerState) -> Doubles { state.doubles(first + 1) }
  func total(_ state: MixerState) -> Doubles { state.doubles(first + 2) }

  /// Moves the state, and beside it the shadow that it may have: that shares the pending decay, and nothing of it is read.
  func scan(_ inputs: LinearInputs, _ state: MixerState, _ operations: Operations) -> Matrix {
    if let shadow = state.shadow {
      var silent = inputs
      silent.q = inputs.q.rows(inputs.q.rows..<inputs.q.rows)
      _ = operations.linearScan(
        silent, state: shadow.recurrence, pending: Doubles(pending(state).array()), total: Doubles(total(state).array()))
    }
    return operations.linearScan(inputs, state: stored(state), pending: pending(state), total: total(state))
  }

  /// The state as what exchanges it finds it.
  func headed(_ state: MixerState) -> HeadedState {
    HeadedState(heads: heads, recurrence: stored(state), pending: pending(state), total: total(state))
  }

  /// What mitigations can do with it: exchange it, and nothing else, for the reason given.
  func exchangeable(_ reason: String) -> MixerGating {
    .states(heads: heads, stateSize: size, headWidth: width, reason: reason)
  }

  /// The true state, H × N × P.
  func truth(_ state: MixerState) -> [Float] {
    let left = pending(state).array()
    let perDecay = size * width / decays
    return stored(state).array().enumerated().map { Float(Double($1) * exponential(left[$0 / perDecay])) }
  }

  /// The true state with the last two dimensions turned, H × P × N.
  func turned(_ state: MixerState) -> [Float] {
    let values = truth(state)
    return (0..<heads).flatMap { head in
      (0..<width).flatMap { p in (0..<size).map { values[(head * size + $0) * width + p] } }
    }
  }

  /// Each head's reading. What is left of its first token is what the slowest of its keys keeps.
  func readings(_ state: MixerState) -> [HeadReading] {
    let (values, left, total) = (truth(state), pending(state).array(), total(state).array())
    let count = size * width
    return (0..<heads).map { head in
      var (squares, largest, isFinite) = (0.0, 0.0, true)
      for value in values[head * count..<(head + 1) * count] {
        squares += Double(value) * Double(value)
        largest = max(largest, abs(Double(value)))
        isFinite = isFinite && value.isFinite
      }
      let own = head * decays..<(head + 1) * decays
      let scale = (squares / Double(count)).squareRoot()
      return HeadReading(
        norm: squares.squareRoot(), largestOverRMS: scale > 0 ? largest / scale : 0, retention: total[own].max() ?? 0,
        isFinite: isFinite && left[own].allSatisfy(\.isFinite))
    }
  }

  /// Floats that the scan allocates for a token, beside its output.
  func scratch(removes: Bool) -> Int { (removes ? 5 : 3) * heads * size + 16 }
}
