import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Mixers side by side: all read the same rows, and what each gives is added in its share.
///
///     out = Σ_i after_i · mixer_i(before_i · u)
package struct ParallelMixer: Mixer {
  struct Part: Sendable {
    var mixer: any Mixer
    /// What its rows are multiplied with, before and after.
    var before: Float = 1
    var after: Float = 1
  }

  /// At most one of them has a recurrent state.
  let parts: [Part]

  private var recurrent: (any Mixer)? { parts.map(\.mixer).first { !$0.gating.isNone } }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    parts.flatMap { $0.mixer.declareState(in: &layout, layer: layer) }
  }

  /// Each part's share of the state.
  private func states(_ state: MixerState) -> [MixerState] {
    var first = 0
    return parts.map { part in
      var layout = StateLayout()
      let count = part.mixer.declareState(in: &layout, layer: "").count
      defer { first += count }
      let own = Array(state.regions[first..<first + count])
      return part.mixer.gating.isNone
        ? MixerState(state: state.state, regions: own)
        : MixerState(state: state.state, regions: own, gates: state.gates, shadow: state.shadow, rest: state.rest)
    }
  }

  private func state(_ state: MixerState) -> MixerState? {
    zip(parts, states(state)).first { !$0.0.mixer.gating.isNone }?.1
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    var y = residual
    for (part, own) in zip(parts, states(state)) {
      let rows = part.before == 1
        ? input.rows : operations.multiply(input.rows, by: operations.constant(part.before, columns: input.rows.columns))
      let input = MixerInput(rows: rows, position: input.position, carried: input.carried)
      let zeros = operations.constant(0, rows: outputs, columns: residual.columns)
      let mixed = part.mixer.forward(input, state: own, outputs: outputs, residual: zeros, operations)
      guard outputs > 0 else { continue }
      y = operations.add(operations.scale(mixed, by: part.after), to: y)
    }
    return y
  }

  package var gaugedHeads: Int { recurrent?.gaugedHeads ?? 0 }
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    self.state(state).flatMap { recurrent?.readings(of: $0, kernels: kernels) } ?? []
  }
  package var gating: MixerGating { recurrent?.gating ?? .none }
  package func headed(_ state: MixerState) -> HeadedState? { self.state(state).flatMap { recurrent?.headed($0) } }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    zip(parts, states(state)).flatMap { $0.mixer.referenceState($1) }
  }

  package var attends: Bool { parts.contains { $0.mixer.attends } }

  package var capacity: StreamCapacity? { parts.compactMap(\.mixer.capacity).min { $0.tokens < $1.tokens } }

  package var scratchPerToken: Int {
    parts.reduce(0) { $0 + $1.mixer.scratchPerToken + 2 * 16 } + 2 * parts.count * width
  }

  /// D
  let width: Int
}

extension MixerGating {
  var isNone: Bool {
    if case .none = self { true } else { false }
  }
}
