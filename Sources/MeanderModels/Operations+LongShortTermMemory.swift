import MeanderKernels

extension Operations {
  /// An LSTM over T tokens: h after each of them, T × I. h and c of the state move on by all T.
  ///
  /// The recurrence is no sum of decayed inputs, so it has one way to be computed beside the naive one: token by token, each a
  /// product of one row with the recurrent weight. A stretch cannot be raised to a power either.
  ///
  /// - Parameters:
  ///   - gates: T × 4·I, what the inputs add to the sums of i, f, g and o; it is overwritten by the gates' activations.
  ///   - recurrent: 4·I × I
  ///   - hidden, cell: 1 × I each.
  package func longShortTermMemory(_ gates: Matrix, recurrent: Weight, hidden: Matrix, cell: Matrix) -> Matrix {
    let (tokens, channels) = (gates.rows, cell.columns)
    let y = arena.matrix(rows: tokens, columns: channels)
    guard tokens > 0 else { return y }
    if form == .naive {
      naiveLongShortTermMemory(gates, recurrent: recurrent, hidden: hidden, cell: cell, into: y)
      return y
    }
    // Row t: c before token t; the last row is that after the run.
    let cells = arena.matrix(rows: tokens + 1, columns: channels)
    let first = arena.matrix(rows: 1, columns: channels)
    cells.rows(0..<1).copy(from: cell)
    first.copy(from: hidden)
    timed(.scan) {
      for t in 0..<tokens {
        let sums = gates.rows(t..<t + 1)
        kernels.product(t == 0 ? first : y.rows(t - 1..<t), recurrent.packed, into: sums, adding: true)
        kernels.longShortTermMemoryCell(
          sums, before: cells.rows(t..<t + 1), cell: cells.rows(t + 1..<t + 2), hidden: y.rows(t..<t + 1))
      }
    }
    hidden.copy(from: y.rows(tokens - 1..<tokens))
    cell.copy(from: cells.rows(tokens..<tokens + 1))
    if repeats > 1 { tape?.block("a power of a stretch through an LSTM") }
    recordMemory(MemoryRun(gates: gates, cells: cells, first: first, y: y), recurrent: recurrent, hidden: hidden, cell: cell)
    return y
  }

  private func recordMemory(_ run: MemoryRun, recurrent: Weight, hidden: Matrix, cell: Matrix) {
    guard let tape, let source = recurrent.sources.first else { return }
    let (kernels, gradients, clock, table) = (kernels, tape.gradients, clock, kernels.table)
    tape.record {
      clock.measure(.scan) {
        let tokens = run.y.rows
        let (dgates, dy) = (gradients.of(run.gates), gradients.of(run.y))
        let (dhidden, dcell) = (gradients.of(hidden), gradients.of(cell))
        kernels.add(dhidden, to: dy.rows(tokens - 1..<tokens))
        dhidden.fill(0)
        // dh of the token before is dgates · W: a product with the transpose, packed once for all tokens.
        let turned = PackedMatrix(outputs: source.columns, inner: source.rows, element: .fp32, table: table) { column, values in
          for row in 0..<source.rows { values[row] = source[row, column] }
        }
        for t in (0..<tokens).reversed() {
          let own = dgates.rows(t..<t + 1)
          kernels.longShortTermMemoryCellBackward(
            run.gates.rows(t..<t + 1), before: run.cells.rows(t..<t + 1), cell: run.cells.rows(t + 1..<t + 2),
            dhidden: dy.rows(t..<t + 1), dcell: dcell, dgates: own)
          kernels.product(own, turned, into: t == 0 ? dhidden : dy.rows(t - 1..<t), adding: true)
        }
        guard let dweight = gradients.wanted(source) else { return }
        kernels.multiply(dgates.rows(0..<1).turned, run.first.plain, into: dweight, adding: true)
        kernels.multiply(
          dgates.rows(1..<tokens).turned, run.y.rows(0..<tokens - 1).plain, into: dweight, adding: true)
      }
    }
  }

  private func naiveLongShortTermMemory(_ gates: Matrix, recurrent: Weight, hidden: Matrix, cell: Matrix, into y: Matrix) {
    func doubles(_ matrix: Matrix) -> [Double] { matrix.array().map { Double($0) } }
    func copy(_ values: [Double], to matrix: Matrix) {
      matrix.copy(from: Matrix(values.map { Float($0) }, rows: matrix.rows, columns: matrix.columns))
    }
    let weight = Matrix(rows: recurrent.packed.outputs, columns: recurrent.packed.inner)
    for row in 0..<weight.rows { recurrent.packed.row(row, into: weight.rows(row..<row + 1)) }
    var (h, c) = (doubles(hidden), doubles(cell))
    let result = Naive.longShortTermMemory(
      gates: doubles(gates), recurrent: doubles(weight), hidden: &h, cell: &c, tokens: gates.rows)
    copy(h, to: hidden)
    copy(c, to: cell)
    copy(result, to: y)
  }
}

/// What the way back through an LSTM reads.
private struct MemoryRun {
  /// Activations, T × 4·I.
  let gates: Matrix
  /// (T + 1) × I
  let cells: Matrix
  /// h before the first token, 1 × I.
  let first: Matrix
  let y: Matrix
}
