import COpenBLAS
import MeanderKernels
import MeanderTestSupport
import Testing

/// Products of matrices as they lie and turned, against sums in double precision and against another library.
@Suite struct MatrixProductTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    let rows, columns, inner: Int
    var testDescription: String { "\(rows) × \(inner) × \(columns)" }
  }

  static let shapes = [
    Shape(rows: 1, columns: 1, inner: 1), Shape(rows: 5, columns: 16, inner: 3), Shape(rows: 6, columns: 17, inner: 256),
    Shape(rows: 13, columns: 31, inner: 257), Shape(rows: 64, columns: 64, inner: 64), Shape(rows: 321, columns: 7, inner: 9),
    Shape(rows: 3, columns: 40, inner: 0),
  ]
  static let tables = KernelTable.all + KernelTable.forTests

  @Test(arguments: shapes, tables)
  func everyWayToTurnThemGivesTheSums(shape: Shape, table: KernelTable) {
    let kernels = Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32)
    for turns in [(false, false), (true, false), (false, true), (true, true)] {
      let a = turns.0 ? Matrix.random(shape.inner, shape.rows, seed: 1) : Matrix.random(shape.rows, shape.inner, seed: 1)
      let b = turns.1 ? Matrix.random(shape.columns, shape.inner, seed: 2) : Matrix.random(shape.inner, shape.columns, seed: 2)
      let before = Matrix.random(shape.rows, shape.columns, seed: 3)
      let y = before.copied()
      kernels.multiply(turns.0 ? a.turned : a.plain, turns.1 ? b.turned : b.plain, into: y, adding: true)
      let expected = (0..<shape.rows).flatMap { row in
        (0..<shape.columns).map { column in
          (0..<shape.inner).reduce(Double(before[row, column])) { sum, k in
            sum + Double(turns.0 ? a[k, row] : a[row, k]) * Double(turns.1 ? b[column, k] : b[k, column])
          }
        }
      }
      expectClose(y.array().map { Double($0) }, expected, "a·b, turned \(turns)", within: 2e-6)
    }
  }

  @Test func agreesWithOpenBLAS() {
    let (m, n, k) = (130, 97, 310)
    let (a, b) = (Matrix.random(m, k, seed: 4).copied(), Matrix.random(k, n, seed: 5).copied())
    let y = Matrix(rows: m, columns: n)
    Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32).multiply(a.plain, b.plain, into: y)
    var c = [Float](repeating: 0, count: m * n)
    cblas_sgemm(
      CblasRowMajor, CblasNoTrans, CblasNoTrans, Int32(m), Int32(n), Int32(k), 1, a.array(), Int32(k), b.array(), Int32(n), 0,
      &c, Int32(n))
    expectClose(y.array(), c, "a·b", within: 2e-6)
  }
}
