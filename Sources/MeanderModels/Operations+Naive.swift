import MeanderKernels

/// The naive forms of the recurrences, in double precision: what the fast ones are held against.
extension Operations {
  func naiveScan(
    x: Matrix, b: Matrix, c: Matrix, dt: Matrix, heads: [HeadGate], skip: Matrix, state: Matrix, pending: Doubles,
    total: Doubles, shadow: ShadowState?, groups: Int, into y: Matrix
  ) {
    let outputs = y.rows
    let unread = [Double](repeating: 0, count: (x.rows - outputs) * b.columns)
    func moved(_ stored: Matrix, c: [Double]) -> [Double] {
      var h = stored.doubles
      let perHead = h.count / heads.count
      for (head, decay) in pending.array().enumerated() {
        for index in head * perHead..<(head + 1) * perHead { h[index] *= Double.exponential(decay) }
      }
      let result = Naive.selectiveScan(
        x: x.doubles, dt: dt.doubles, b: b.doubles, c: c, heads: heads, skip: skip.doubles, state: &h, groups: groups,
        tokens: x.rows)
      stored.copy(from: h)
      return result
    }
    let result = moved(state, c: unread + c.doubles)
    if let shadow { _ = moved(shadow.recurrence, c: [Double](repeating: 0, count: x.rows * b.columns)) }
    // The decays since the start are the gates' own sum; what they leave pending is already in the naive state.
    let before = zip(total.array(), pending.array()).map { $0 - $1 }
    let scratch = Doubles([Double](repeating: 0, count: heads.count))
    kernels.gates(dt, heads: heads, pending: scratch, total: total, into: arena.matrix(rows: dt.rows, columns: 3 * heads.count))
    pending.fill(0)
    shadow?.gatherFactors(total: total, pending: pending, since: before)
    y.copy(from: Array(result.suffix(outputs * x.columns)))
  }

  func naiveScan(_ inputs: ChannelInputs, state: Matrix, rest: Matrix, gate: ChannelGate, into y: Matrix) {
    let (outputs, x) = (y.rows, inputs.x)
    var h = zip(state.doubles, rest.doubles).map { $0 + $1 }
    let unread = [Double](repeating: 0, count: (x.rows - outputs) * inputs.b.columns)
    let result = Naive.channelScan(
      x: x.doubles, input: inputs.input?.doubles, dt: inputs.dt.doubles, rate: inputs.rate.doubles, b: inputs.b.doubles,
      c: unread + inputs.c.doubles, skip: inputs.skip.doubles, state: &h, gate: gate, tokens: x.rows)
    state.copy(from: h)
    rest.copy(from: zip(h, state.doubles).map { $0 - $1 })
    y.copy(from: Array(result.suffix(outputs * x.columns)))
  }
}

extension Matrix {
  var doubles: [Double] { array().map { Double($0) } }

  func copy(from values: [Double]) {
    copy(from: Matrix(values.map { Float($0) }, rows: rows, columns: columns))
  }
}
