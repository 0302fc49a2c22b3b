import MeanderKernels

/// What a selective scan reads, as `Operations.selectiveScan` names it.
struct ScanOperands {
  let x, b, c, dt: Matrix
  let heads: HeadGates
  let skip: Matrix
  let groups: Int
}

extension Operations {
  /// The selective scan in chunks, and with a tape the way back. y: the last rows of T × (H·P), as many as `c` has.
  func chunkScan(
    _ operands: ScanOperands, state: Matrix, pending: Doubles, total: Doubles, shadow: ShadowState? = nil, into y: Matrix
  ) {
    let (tokens, heads) = (operands.x.rows, operands.heads.gates.count)
    let table = HeadTable(operands.heads.gates)
    let steps = HeadSteps(step: arena.matrix(rows: tokens, columns: heads), decay: arena.doubles(tokens * heads))
    let before = total.array()
    // What a power needs of the state before it: see `StatePower`.
    let start = repeats == 1 || tokens == 0 ? nil : (state: state.array(), pending: pending.array())
    func power() -> StatePower? {
      guard let start else { return nil }
      let power = StatePower(
        repeats: repeats, decays: zip(total.array(), before).map { $0 - $1 },
        start: (Matrix(start.state, rows: 1, columns: start.state.count), start.pending), kernels: self.kernels)
      power.apply(to: state, pending: pending, total: total)
      return power
    }
    timed(.scan) { self.kernels.steps(operands.dt, heads: table, total: total, into: steps) }
    let inputs = ChunkScanInputs(
      x: operands.x, b: operands.b, c: tokens == operands.c.rows ? operands.c : padded(operands.c, to: tokens), steps: steps,
      heads: table, skip: operands.skip, groups: operands.groups, chunk: Self.chunk(operands))
    let scratch = Matrix(rows: 1, columns: inputs.scratchCount)
    let outputs = tokens == y.rows ? y : Matrix(rows: tokens, columns: y.columns)
    guard let tape else {
      if let shadow {
        let twin = Doubles(pending.array())
        kernels.chunkScan(
          inputs, state: shadow.recurrence, pending: twin, boundaries: nil, scratch: scratch, into: outputs)
        let since = zip(before, pending.array()).map { $0 - $1 }
        shadow.gatherFactors(total: total, pending: twin, since: since)
      }
      kernels.chunkScan(inputs, state: state, pending: pending, boundaries: nil, scratch: scratch, into: outputs)
      _ = power()
      if tokens != y.rows { y.copy(from: outputs.rows(tokens - y.rows..<tokens)) }
      return
    }
    let boundaries = (
      states: arena.matrix(rows: inputs.chunks, columns: state.rows * state.columns),
      pending: arena.doubles(inputs.chunks * heads)
    )
    timed(.scan) {
      self.kernels.chunkScan(
        inputs, state: state, pending: pending, boundaries: boundaries, scratch: scratch, into: outputs)
    }
    let power = power()
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    let dinsertion = arena.matrix(rows: tokens, columns: heads)
    tape.record {
      clock.measure(.scan) {
        let dstate = gradients.of(state)
        let powered = power?.backward(dstate)
        // The steps' own twin serves the decays: nothing else is told of either.
        let ddecay = gradients.of(steps.step)
        kernels.chunkScanBackward(
          inputs, boundaries: boundaries, scratch: scratch, dy: gradients.of(outputs), dstate: dstate,
          dtotal: powered?.decays, dx: gradients.of(operands.x), db: gradients.of(operands.b), dc: gradients.of(operands.c),
          ddecay: ddecay, dinsertion: dinsertion, dskip: gradients.wanted(operands.skip))
        if let powered { kernels.add(powered.start, to: dstate) }
        kernels.stepsBackward(
          operands.dt, heads: table, steps: steps, ddecay: ddecay, dinsertion: dinsertion, ddt: gradients.of(operands.dt),
          dbias: gradients.wanted(operands.heads.bias), dlogRate: gradients.wanted(operands.heads.logRate))
      }
    }
  }

  /// Q: as long as a head is wide, so that neither the products inside chunks nor those with the state prevail.
  private static func chunk(_ operands: ScanOperands) -> Int {
    let width = operands.x.columns / operands.heads.gates.count
    let size = operands.b.columns / operands.groups
    return max(width, size) >= 64 ? 64 : 32
  }

  /// C with rows of zeros before it, for tokens whose outputs nobody asked for.
  private func padded(_ c: Matrix, to tokens: Int) -> Matrix {
    let result = Matrix(rows: tokens, columns: c.columns)
    result.rows(tokens - c.rows..<tokens).copy(from: c)
    return result
  }
}
