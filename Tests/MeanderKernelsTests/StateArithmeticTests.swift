import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct StateArithmeticTests {
  @Test func `combines in double precision and rounds once`() {
    let (x, z, y) = (Matrix.random(7, 33, seed: 1), Matrix.random(7, 33, seed: 2), Matrix(rows: 7, columns: 33))
    kernels(threads: 3).combine(1 - 1e-9, x, -0.3, z, into: y)
    for row in 0..<7 {
      for column in 0..<33 {
        let exact = (1 - 1e-9) * Double(x[row, column]) + -0.3 * Double(z[row, column])
        #expect(y[row, column] == Float(exact))
      }
    }
    kernels().combine(1, x, -1, x, into: y)
    #expect(y.array().allSatisfy { $0 == 0 })
    kernels().combine(0.25, x, 0.75, z, into: x)
    kernels().scale(z, by: 0.5)
    #expect(z.array() == Matrix.random(7, 33, seed: 2).array().map { $0 * 0.5 })
  }

  @Test func `gathers the factors of folds token by token`() {
    let f = Matrix([1, 0.5, 0.25, 1, 0.125, 1], rows: 3, columns: 2)
    let factors = Doubles([2, 3])
    kernels().gatherFactors(f, into: factors)
    #expect(factors.array() == [2 * 0.25 * 0.125, 3 * 0.5])
  }

  @Test func `scales and filters time steps`() {
    let dt = Matrix([0.1, 0.2, 0.4, 0.8], rows: 2, columns: 2)
    kernels().scaleAndFilter(dt, scale: 0.5, threshold: 0.2)
    #expect(dt.array() == [0, 0, 0.2, 0.4])
  }

  @Test func `takes logarithms near 1 to the last digits`() {
    let known = [
      (1.0, 0.0), (1 - 0x1p-14, -6.103701897094392e-05), (2, 0.6931471805599453), (0x1p-30, -20.794415416798357),
    ]
    for (x, expected) in known {
      #expect(abs(logarithm(x) - expected) <= 4e-16 * abs(expected))
    }
  }
}
