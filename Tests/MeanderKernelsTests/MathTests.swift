import CMeanderKernels
import Glibc
import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct MathTests {
  /// The largest distance from the library's double-precision function, in units of the last place of the result.
  func worst(_ points: [Float], _ results: Matrix, _ expected: (Double) -> Double) -> Double {
    zip(points, results.array()).map { point, result in
      let exact = expected(Double(point))
      return abs(Double(result) - exact) / Double(max(Float(abs(exact)).ulp, Float.leastNonzeroMagnitude))
    }.max() ?? .infinity
  }

  @Test func `the double-precision functions match the library's`() {
    let points = stride(from: -740.0, through: 709.0, by: 0.37).map { $0 }
    expectClose(points.map { meander_exp($0) / exp($0) }, points.map { _ in 1 }, "exp", within: 1e-15)
    #expect(meander_exp(.infinity) == .infinity && meander_exp(-.infinity) == 0 && meander_exp(.nan).isNaN)
    let positive = stride(from: -600.0, through: 600.0, by: 0.37).map { exp($0) }
    for x in positive { #expect(abs(meander_log(x) - log(x)) <= 2e-16 * max(abs(log(x)), 1)) }
  }

  @Test(arguments: everyTable) func `exp, softplus and silu are good to the last places`(table: KernelTable) {
    let points = stride(from: Float(-86), through: 88, by: 0.0137).map { $0 } + [0, -0.0, 1e-30, -1e-30, 1e-7, -1e-7]
    let x = Matrix(points, rows: 1, columns: points.count)
    let y = Matrix(rows: 1, columns: points.count)
    let kernels = kernels(table)
    kernels.exponential(x, into: y)
    #expect(worst(points, y, exp) <= 1)
    kernels.softplus(x, into: y)
    #expect(worst(points, y) { max($0, 0) + log1p(exp(-abs($0))) } <= 3)
    kernels.activate(x, .silu, into: y)
    #expect(worst(points, y) { $0 / (1 + exp(-$0)) } <= 3)
  }

  @Test(arguments: everyTable) func `the ends of the range are what they should be`(table: KernelTable) {
    let x = Matrix([.infinity, -.infinity, .nan, 1000, -1000, -103], rows: 1, columns: 6)
    let y = Matrix(rows: 1, columns: 6)
    let kernels = kernels(table)
    kernels.exponential(x, into: y)
    #expect(bits(y) == bits([.infinity, 0, .nan, .infinity, 0, exp(-103)]))
    kernels.softplus(x, into: y)
    #expect(bits(y.columns(0..<5)) == bits([.infinity, 0, .nan, 1000, 0]))
    kernels.activate(x, .silu, into: y)
    #expect(bits(y.columns(0..<4)) == bits([.infinity, -.infinity, .nan, 1000]))
    #expect(abs(y[0, 4]) < 1e-30 && abs(y[0, 5]) < 1e-30)
  }
}
