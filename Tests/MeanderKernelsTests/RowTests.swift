import Glibc
import MeanderErrors
import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct RowTests {
  @Test(arguments: [1, 3, 15, 16, 17, 60, 294], everyTable)
  func `norms and activations have the reference's bits`(columns: Int, table: KernelTable) throws {
    let (x, z, weight) = (
      Matrix.random(9, 3 * columns, seed: 1), Matrix.random(9, 3 * columns, seed: 2),
      Matrix.random(1, 3 * columns, seed: 3)
    )
    func run(_ kernels: Kernels) -> [[UInt32]] {
      var results: [Matrix] = []
      func result(_ body: (Matrix) -> Void) {
        results.append(x.copied())
        body(results[results.count - 1])
      }
      result { kernels.rootMeanSquareNorm(x, weight: weight, epsilon: 1e-5, into: $0) }
      result { kernels.rootMeanSquareNorm($0, weight: nil, epsilon: 1e-5, groups: 3, into: $0) }
      result { kernels.gatedRootMeanSquareNorm(x, gate: z, weight: weight, epsilon: 1e-5, groups: 3, into: $0) }
      result { kernels.gatedRootMeanSquareNorm($0, gate: z, weight: nil, epsilon: 1e-5, into: $0) }
      result { kernels.softplus(x, bias: weight, into: $0) }
      result { kernels.silu(x, into: $0) }
      result { kernels.multiplySilu(x, gate: z, into: $0) }
      result { kernels.add(z, into: $0) }
      result { kernels.multiply(weight, into: $0) }
      result { kernels.exponential(x, into: $0) }
      result { kernels.roundToBF16(x, into: $0) }
      let surprisals = kernels.surprisals(x, targets: (0..<9).map { Int32($0 % columns) }[...])
      return results.map { bits($0) } + [bits(surprisals)]
    }
    #expect(run(kernels(table, threads: 3)) == run(kernels(try .named("scalar"))))
  }

  @Test func `the norm is group by group, and gated before it`() {
    let (x, z) = (Matrix.random(4, 12, seed: 1), Matrix.random(4, 12, seed: 2))
    let weight = Matrix.random(1, 12, seed: 3)
    let y = Matrix(rows: 4, columns: 12)
    kernels().gatedRootMeanSquareNorm(x, gate: z, weight: weight, epsilon: 1e-3, groups: 2, into: y)
    var expected: [Double] = []
    for row in 0..<4 {
      let gated = (0..<12).map { Double(x[row, $0]) * Double(z[row, $0]) / (1 + exp(-Double(z[row, $0]))) }
      for group in [0..<6, 6..<12] {
        let mean = gated[group].reduce(0) { $0 + $1 * $1 } / 6
        expected += group.map { gated[$0] / (mean + 1e-3).squareRoot() * Double(weight[0, $0]) }
      }
    }
    expectClose(y.array().map(Double.init), expected, "norm", within: 1e-6)
  }

  @Test(arguments: [1, 2, 16, 300]) func `surprisal is the negative log-probability`(columns: Int) {
    let logits = Matrix.random(5, columns, seed: 1, scale: 10)
    let targets = (0..<5).map { Int32(($0 * 7) % columns) }
    let expected = (0..<5).map { row in
      log((0..<columns).reduce(0.0) { $0 + exp(Double(logits[row, $1])) }) - Double(logits[row, Int(targets[row])])
    }
    let surprisals = kernels(threads: 2).surprisals(logits, targets: targets[...])
    for (actual, expected) in zip(surprisals, expected) { #expect(abs(Double(actual) - expected) <= 1e-5) }
    logits[2, 0] = .nan
    #expect(kernels().surprisals(logits, targets: targets[...])[2].isNaN)
  }

  @Test(arguments: everyTable) func `a head's statistics are the reference's and see what is not finite`(
    table: KernelTable
  ) throws {
    let state = Matrix.random(6 * 7, 5, seed: 1).copied()
    let statistics = kernels(table, threads: 2).headStatistics(state, heads: 6)
    #expect(statistics == kernels(try .named("scalar")).headStatistics(state, heads: 6))
    let second = state.rows(7..<14).array()
    #expect(statistics[1].largest == second.map(abs).max())
    #expect(abs(statistics[1].sumOfSquares - second.reduce(0.0) { $0 + Double($1) * Double($1) }) < 1e-12)
    state[8, 2] = .infinity
    state[20, 0] = .nan
    let finite = kernels(table).headStatistics(state, heads: 6).map(\.isFinite)
    #expect(finite == [true, false, false, true, true, true])
  }

  @Test func `a table that is not there is an error that names those that are`() {
    let error = #expect(throws: MeanderError.self) { try KernelTable.named("abacus") }
    #expect(error?.code == .unsupported)
    #expect(error?.description.contains("scalar") == true)
  }
}
