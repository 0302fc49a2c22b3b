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
      for activation in Activation.allCases {
        result { kernels.activate(x, activation, into: $0) }
        result { kernels.activate(x, activation, times: z, into: $0) }
      }
      result { kernels.layerNorm(x, weight: weight, bias: z.rows(0..<1), epsilon: 1e-5, into: $0) }
      result { kernels.layerNorm($0, weight: weight, bias: nil, epsilon: 1e-5, groups: 3, into: $0) }
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

  @Test(arguments: everyTable) func `activations are what they are called`(table: KernelTable) {
    let points = stride(from: Float(-12), through: 12, by: 0.037).map { $0 }
    let x = Matrix(points, rows: 1, columns: points.count)
    func check(_ activation: Activation, _ exact: (Double) -> Double) {
      let y = Matrix(rows: 1, columns: points.count)
      kernels(table).activate(x, activation, into: y)
      let (dx, dy) = (Matrix(rows: 1, columns: points.count), Matrix(points.map { _ in 1 }, rows: 1, columns: points.count))
      kernels(table).activationBackward(x, activation, dy: dy, dx: dx)
      for (place, point) in points.map(Double.init).enumerated() {
        #expect(abs(Double(y[0, place]) - exact(point)) <= 3e-7 * max(1, abs(exact(point))), "\(activation) of \(point)")
        let slope = (exact(point + 1e-5) - exact(point - 1e-5)) / 2e-5
        #expect(abs(Double(dx[0, place]) - slope) <= 3e-6 * max(1, abs(slope)), "\(activation)' of \(point)")
      }
    }
    check(.sigmoid) { 1 / (1 + exp(-$0)) }
    check(.silu) { $0 / (1 + exp(-$0)) }
    check(.tanh) { tanh($0) }
    check(.gelu) { $0 * 0.5 * (1 + erf($0 / 2.0.squareRoot())) }
    check(.geluTanh) { $0 * 0.5 * (1 + tanh((2 / Double.pi).squareRoot() * ($0 + 0.044715 * $0 * $0 * $0))) }
    check(.relu) { max($0, 0) }
    check(.reluSquared) { max($0, 0) * max($0, 0) }
    check(.eluPlusOne) { $0 > 0 ? $0 + 1 : exp($0) }
    let broken = Matrix([.nan], rows: 1, columns: 1)
    for activation in Activation.allCases {
      kernels(table).activate(broken, activation, into: broken)
      #expect(broken[0, 0].isNaN)
    }
  }

  @Test(arguments: everyTable) func `the layer norm and its way back are the paper's`(table: KernelTable) {
    let (x, dy) = (Matrix.random(3, 22, seed: 1), Matrix.random(3, 22, seed: 2))
    let (weight, bias) = (Matrix.random(1, 22, seed: 3), Matrix.random(1, 22, seed: 4))
    func norm(_ x: [Double], _ weight: [Double], _ bias: [Double]) -> [Double] {
      (0..<6).flatMap { part -> [Double] in
        let (first, at) = (part * 11, part % 2 * 11)
        let own = x[first..<first + 11]
        let mean = own.reduce(0, +) / 11
        let scale = 1 / (own.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / 11 + 1e-3).squareRoot()
        return (0..<11).map { (own[first + $0] - mean) * scale * weight[at + $0] + bias[at + $0] }
      }
    }
    func doubles(_ matrix: Matrix) -> [Double] { matrix.array().map(Double.init) }
    let y = Matrix(rows: 3, columns: 22)
    kernels(table).layerNorm(x, weight: weight, bias: bias, epsilon: 1e-3, groups: 2, into: y)
    expectClose(doubles(y), norm(doubles(x), doubles(weight), doubles(bias)), "layer norm", within: 1e-6)

    let (dx, dweight, dbias) = (Matrix(rows: 3, columns: 22), Matrix(rows: 1, columns: 22), Matrix(rows: 1, columns: 22))
    kernels(table).layerNormBackward(
      x, weight: weight, epsilon: 1e-3, groups: 2, dy: dy, dx: dx, dweight: dweight, dbias: dbias)
    func slopes(_ values: [Double], _ loss: ([Double]) -> [Double]) -> [Double] {
      values.indices.map { place in
        var (up, down) = (values, values)
        up[place] += 1e-5
        down[place] -= 1e-5
        return zip(zip(loss(up), loss(down)), doubles(dy)).reduce(0) { $0 + ($1.0.0 - $1.0.1) / 2e-5 * $1.1 }
      }
    }
    let (xs, weights, biases) = (doubles(x), doubles(weight), doubles(bias))
    expectClose(doubles(dx), slopes(xs) { norm($0, weights, biases) }, "dx", within: 1e-6)
    expectClose(doubles(dweight), slopes(weights) { norm(xs, $0, biases) }, "dweight", within: 1e-6)
    expectClose(doubles(dbias), slopes(biases) { norm(xs, weights, $0) }, "dbias", within: 1e-6)
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
