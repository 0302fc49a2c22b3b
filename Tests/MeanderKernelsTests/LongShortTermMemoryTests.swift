import MeanderKernels
import MeanderTestSupport
import Testing

/// The cell of an LSTM: the same bits in every table, the naive recurrence's numbers, and the gradients of differences.
@Suite struct LongShortTermMemoryTests {
  /// Gate sums of T tokens, T × 4·I, a recurrent weight, and a state.
  struct Case {
    let gates, recurrent, hidden, cell: Matrix
    var tokens: Int { gates.rows }
    var channels: Int { cell.columns }

    init(tokens: Int, channels: Int) {
      gates = .random(tokens, 4 * channels, seed: 1)
      recurrent = .random(4 * channels, channels, seed: 2, scale: 0.4)
      hidden = .random(1, channels, seed: 3, scale: 0.5)
      cell = .random(1, channels, seed: 4)
    }

    /// Activations, c before each token and after the last, and h after each.
    func run(_ kernels: Kernels) -> (gates: Matrix, cells: Matrix, hidden: Matrix) {
      let (activations, cells) = (gates.copied(), Matrix(rows: tokens + 1, columns: channels))
      let y = Matrix(rows: tokens, columns: channels)
      let packed = PackedMatrix(recurrent)
      cells.rows(0..<1).copy(from: cell)
      for t in 0..<tokens {
        let sums = activations.rows(t..<t + 1)
        kernels.product(t == 0 ? hidden.copied() : y.rows(t - 1..<t), packed, into: sums, adding: true)
        kernels.longShortTermMemoryCell(
          sums, before: cells.rows(t..<t + 1), cell: cells.rows(t + 1..<t + 2), hidden: y.rows(t..<t + 1))
      }
      return (activations, cells, y)
    }
  }

  @Test(arguments: [(1, 1), (3, 17), (20, 40)])
  func `agrees with the naive recurrence and between tables`(tokens: Int, channels: Int) throws {
    let shape = Case(tokens: tokens, channels: channels)
    let reference = shape.run(kernels(try .named("scalar")))
    for table in everyTable {
      let result = shape.run(kernels(table, threads: 2))
      #expect(bits(result.hidden) == bits(reference.hidden), "\(table.name)")
      #expect(bits(result.cells) == bits(reference.cells), "\(table.name)")
    }
    var (h, c) = (shape.hidden.doubles, shape.cell.doubles)
    let y = Naive.longShortTermMemory(
      gates: shape.gates.doubles, recurrent: shape.recurrent.doubles, hidden: &h, cell: &c, tokens: tokens)
    expectClose(reference.hidden.doubles, y, "h")
    expectClose(reference.cells.rows(tokens..<tokens + 1).doubles, c, "c")
    expectClose(reference.hidden.rows(tokens - 1..<tokens).doubles, h, "the last h")
  }

  /// Back through three tokens by hand, against central differences of the naive recurrence in double precision.
  @Test(arguments: everyTable)
  func `gradients are those of differences`(table: KernelTable) {
    let shape = Case(tokens: 3, channels: 5)
    let kernels = kernels(table)
    let weights = Matrix.random(3, 5, seed: 8)
    let weightsOfCell = Matrix.random(1, 5, seed: 9)
    let run = shape.run(kernels)
    let (dgates, dhidden, dcell) = (Matrix(rows: 3, columns: 20), weights.copied(), weightsOfCell.copied())
    let dstart = Matrix(rows: 1, columns: 5)
    for t in (0..<3).reversed() {
      kernels.longShortTermMemoryCellBackward(
        run.gates.rows(t..<t + 1), before: run.cells.rows(t..<t + 1), cell: run.cells.rows(t + 1..<t + 2),
        dhidden: dhidden.rows(t..<t + 1), dcell: dcell, dgates: dgates.rows(t..<t + 1))
      kernels.multiply(
        dgates.rows(t..<t + 1).plain, shape.recurrent.plain, into: t == 0 ? dstart : dhidden.rows(t - 1..<t), adding: true)
    }
    func loss(_ gates: [Double], _ hidden: [Double], _ cell: [Double]) -> Double {
      var (h, c) = (hidden, cell)
      let y = Naive.longShortTermMemory(
        gates: gates, recurrent: shape.recurrent.doubles, hidden: &h, cell: &c, tokens: 3)
      return zip(y, weights.doubles).reduce(0) { $0 + $1.0 * $1.1 }
        + zip(c, weightsOfCell.doubles).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func differences(_ values: [Double], _ loss: ([Double]) -> Double) -> [Double] {
      values.indices.map { index in
        var (above, below) = (values, values)
        above[index] += 1e-5
        below[index] -= 1e-5
        return (loss(above) - loss(below)) / 2e-5
      }
    }
    let (gates, hidden, cell) = (shape.gates.doubles, shape.hidden.doubles, shape.cell.doubles)
    expectClose(dgates.doubles, differences(gates) { loss($0, hidden, cell) }, "gates")
    expectClose(dstart.doubles, differences(hidden) { loss(gates, $0, cell) }, "h before")
    expectClose(dcell.doubles, differences(cell) { loss(gates, hidden, $0) }, "c before")
  }
}

extension Matrix {
  fileprivate var doubles: [Double] { array().map { Double($0) } }
}
