import MeanderKernels

extension Operations {
  /// The selective scan of Mamba-2 with its gates, outputs × (H·P); the state moves on by all T tokens.
  ///
  /// - Parameters:
  ///   - x: T × (H·P)
  ///   - b: T × (G·N)
  ///   - c: outputs × (G·N)
  ///   - dt: T × H, before softplus.
  ///   - skip: D, 1 × H.
  ///   - state: (H·N) × P, to be multiplied by exp(pending).
  ///   - rest: what fp32 cannot hold of it, where that is kept.
  ///   - pending, total: per head, the log-decay that is not yet in the state, and that since the start.
  ///   - shadow: a second state that takes in the same tokens and is not read.
  package func selectiveScan(
    x: Matrix, b: Matrix, c: Matrix, dt: Matrix, heads: HeadGates, skip: Matrix, state: Matrix, rest: Matrix? = nil,
    pending: Doubles, total: Doubles, shadow: ShadowState? = nil, groups: Int, outputs: Int
  ) -> Matrix {
    let y = arena.matrix(rows: outputs, columns: x.columns)
    stepObserver?.see(dt, heads: heads, kernels: kernels)
    switch form {
    case .scan:
      let gates = arena.matrix(rows: dt.rows, columns: 3 * dt.columns)
      kernels.gates(dt, heads: heads.gates, pending: pending, total: total, into: gates)
      kernels.selectiveScan(
        x: x, b: b, c: outputs > 0 ? c : nil, gates: gates, skip: skip, state: state, rest: rest, groups: groups,
        outputs: outputs, into: outputs > 0 ? y : nil)
      if let shadow {
        kernels.selectiveScan(
          x: x, b: b, c: nil, gates: gates, skip: skip, state: shadow.recurrence, groups: groups, outputs: 0, into: nil)
        if let factors = shadow.factors { kernels.gatherFactors(gates.columns(0..<dt.columns), into: factors) }
      }
    case .naive:
      naiveScan(
        x: x, b: b, c: c, dt: dt, heads: heads.gates, skip: skip, state: state, pending: pending, total: total,
        shadow: shadow, groups: groups, into: y)
      rest?.fill(0)
    case .chunk:
      rest?.fill(0)
      chunkScan(
        ScanOperands(x: x, b: b, c: c, dt: dt, heads: heads, skip: skip, groups: groups), state: state, pending: pending,
        total: total, shadow: shadow, into: y)
    }
    return y
  }
}
