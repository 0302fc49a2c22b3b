import Glibc

/// A number of two parts.
package struct Complex: Sendable, Hashable {
  package var real, imaginary: Double

  package init(_ real: Double, _ imaginary: Double = 0) { (self.real, self.imaginary) = (real, imaginary) }

  package var magnitude: Double { hypot(real, imaginary) }
  var conjugate: Complex { Complex(real, -imaginary) }

  package static func + (a: Complex, b: Complex) -> Complex { Complex(a.real + b.real, a.imaginary + b.imaginary) }
  package static func - (a: Complex, b: Complex) -> Complex { Complex(a.real - b.real, a.imaginary - b.imaginary) }
  package static func * (a: Complex, b: Complex) -> Complex {
    Complex(a.real * b.real - a.imaginary * b.imaginary, a.real * b.imaginary + a.imaginary * b.real)
  }
  package static func * (a: Double, b: Complex) -> Complex { Complex(a * b.real, a * b.imaginary) }

  var squareRoot: Complex {
    let size = magnitude
    let real = ((size + abs(self.real)) / 2).squareRoot()
    guard real > 0 else { return Complex(0) }
    let other = abs(imaginary) / (2 * real)
    let (x, y) = self.real >= 0 ? (real, other) : (other, real)
    return Complex(x, imaginary < 0 ? -y : y)
  }
}

/// Eigenvalues of small matrices, in double precision.
package enum Eigenvalues {
  /// Those of a symmetric n × n matrix, the largest magnitude first, and the vectors: `vectors[i]` belongs to `values[i]`. Jacobi's
  /// rotations. O(n³) a sweep.
  package static func symmetric(_ matrix: [[Double]]) -> (values: [Double], vectors: [[Double]]) {
    let n = matrix.count
    var a = matrix
    var vectors = (0..<n).map { row in (0..<n).map { $0 == row ? 1.0 : 0 } }
    for _ in 0..<60 {
      var rest = 0.0
      for p in 0..<n { for q in 0..<p { rest += a[p][q] * a[p][q] } }
      let size = (0..<n).reduce(0) { $0 + a[$1][$1] * a[$1][$1] }
      if rest <= 1e-30 * size { break }
      for p in 0..<n {
        for q in p + 1..<max(p + 1, n) where a[p][q] != 0 {
          let theta = (a[q][q] - a[p][p]) / (2 * a[p][q])
          let t = (theta < 0 ? -1.0 : 1.0) / (abs(theta) + (theta * theta + 1).squareRoot())
          let c = 1 / (t * t + 1).squareRoot()
          let s = t * c
          for k in 0..<n { (a[k][p], a[k][q]) = (c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]) }
          for k in 0..<n { (a[p][k], a[q][k]) = (c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]) }
          for k in 0..<n {
            (vectors[p][k], vectors[q][k]) = (c * vectors[p][k] - s * vectors[q][k], s * vectors[p][k] + c * vectors[q][k])
          }
        }
      }
    }
    let order = (0..<n).sorted { abs(a[$0][$0]) > abs(a[$1][$1]) }
    return (order.map { a[$0][$0] }, order.map { vectors[$0] })
  }

  /// Those of any real n × n matrix, in no order: Hessenberg's form, then shifted QR steps in complex arithmetic. O(n³).
  package static func general(_ matrix: [[Double]]) -> [Complex] {
    let n = matrix.count
    var h = matrix.map { $0.map { Complex($0) } }
    hessenberg(&h)
    var values: [Complex] = []
    var end = n - 1
    var steps = 0
    while end >= 0 {
      // Where the matrix falls apart, within rounding.
      var start = end
      while start > 0 {
        let near = h[start - 1][start - 1].magnitude + h[start][start].magnitude
        if h[start][start - 1].magnitude <= 1e-15 * (near > 0 ? near : 1) { break }
        start -= 1
      }
      if start == end || steps > 300 {
        values.append(h[end][end])
        end -= 1
        steps = 0
        continue
      }
      steps += 1
      let shift = steps % 11 == 10 ? Complex(h[end][end - 1].magnitude) + h[end][end] : shift(h, end)
      step(&h, start, end, shift)
    }
    return values
  }

  private static func hessenberg(_ h: inout [[Complex]]) {
    let n = h.count
    for column in 0..<max(0, n - 2) {
      for row in stride(from: n - 1, to: column + 1, by: -1) where h[row][column].magnitude > 0 {
        rotate(&h, row - 1, row, h[row - 1][column], h[row][column], columns: 0..<n, rows: 0..<n)
      }
    }
  }

  /// The eigenvalue of the last 2 × 2 block that is nearer to its last number (Wilkinson's).
  private static func shift(_ h: [[Complex]], _ end: Int) -> Complex {
    let (a, b, c, d) = (h[end - 1][end - 1], h[end - 1][end], h[end][end - 1], h[end][end])
    let middle = 0.5 * (a + d)
    let half = 0.5 * (a - d)
    let root = (half * half + b * c).squareRoot
    let (first, second) = (middle + root, middle - root)
    return (first - d).magnitude < (second - d).magnitude ? first : second
  }

  /// One QR step on the rows and columns from `start` to `end`.
  private static func step(_ h: inout [[Complex]], _ start: Int, _ end: Int, _ shift: Complex) {
    var (x, y) = (h[start][start] - shift, h[start + 1][start])
    for k in start..<end {
      rotate(&h, k, k + 1, x, y, columns: max(start, k - 1)..<end + 1, rows: start..<min(end, k + 2) + 1)
      if k + 2 <= end { (x, y) = (h[k + 1][k], h[k + 2][k]) }
    }
  }

  /// Turns two rows so that (x, y) would become (·, 0), and the same columns back: a similarity.
  private static func rotate(
    _ h: inout [[Complex]], _ first: Int, _ second: Int, _ x: Complex, _ y: Complex, columns: Range<Int>, rows: Range<Int>
  ) {
    let size = hypot(x.magnitude, y.magnitude)
    guard size > 0 else { return }
    let (c, s) = ((1 / size) * x, (1 / size) * y)
    for k in columns {
      let (a, b) = (h[first][k], h[second][k])
      h[first][k] = c.conjugate * a + s.conjugate * b
      h[second][k] = c * b - s * a
    }
    for k in rows {
      let (a, b) = (h[k][first], h[k][second])
      h[k][first] = a * c + b * s
      h[k][second] = b * c.conjugate - a * s.conjugate
    }
  }
}
