import MeanderFiles
import MeanderKernels

/// A mixer whose memory is one linear recurrence: what the gauge and mitigations ask of it is the same for all such.
protocol LinearMixer: Mixer {
  /// Where the recurrence stands in this layer's regions.
  var memory: LinearState { get }
  /// Why the states of its heads can be exchanged, and nothing else of it be changed.
  var exchangeReason: String { get }
}

extension LinearMixer {
  package var gaugedHeads: Int { memory.heads }
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] { memory.readings(state) }
  package func headed(_ state: MixerState) -> HeadedState? { memory.headed(state) }
  package var gating: MixerGating { memory.exchangeable(exchangeReason) }

  /// A mixer with more to its state, or another order of it, says so itself.
  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    memory.declare(in: &layout, layer: layer, name: "ssm")
  }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [ReferenceTensor(name: "ssm", shape: [memory.heads, memory.size, memory.width], values: memory.truth(state))]
  }
}

extension Operations {
  /// The log-decays of heads that forget at constant rates, T × H.
  func constantDecays(_ decays: [Float], rows: Int) -> Matrix {
    let decay = arena.matrix(rows: rows, columns: decays.count)
    for (head, value) in decays.enumerated() { decay.columns(head..<head + 1).fill(value) }
    return decay
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

  /// Floats that the scan allocates for a token of so many slices, beside its output.
  func scratch(removes: Bool, rank: Int = 1) -> Int { (removes ? 5 : 1 + 2 * rank) * heads * size + 16 }
}
