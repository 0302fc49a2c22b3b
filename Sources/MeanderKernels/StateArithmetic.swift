// Arithmetic on recurrent states between tokens, in fp64 and rounded once: a factor of 1 - 1e-9 is not lost, and the
// bits are the same everywhere.

extension Kernels {
  /// y = α·x + β·z; y may be x or z. Complexity: O(numbers).
  package func combine(_ alpha: Double, _ x: Matrix, _ beta: Double, _ z: Matrix, into y: Matrix) {
    precondition(
      x.rows == y.rows && x.columns == y.columns && z.rows == y.rows && z.columns == y.columns, "shapes differ")
    team.split(y.rows, workers: sharing(operations: 3 * y.rows * y.columns)) { part in
      for row in part {
        // Safe: rows of views whose shapes were held against each other; parts write disjoint rows.
        let (from, other, to) = (x.base + row * x.stride, z.base + row * z.stride, y.base + row * y.stride)
        for column in 0..<y.columns {
          to[column] = Float(alpha * Double(from[column]) + beta * Double(other[column]))
        }
      }
    }
  }

  /// x = factor·x. Complexity: O(numbers).
  package func scale(_ x: Matrix, by factor: Double) {
    for row in 0..<x.rows {
      // Safe: a row of the view.
      let values = x.base + row * x.stride
      for column in 0..<x.columns { values[column] = Float(factor * Double(values[column])) }
    }
  }

  /// x rounded to the nearest bfloat16, ties to even; what is not finite stays as it is. Complexity: O(numbers).
  package func roundToBF16(_ x: Matrix) {
    team.split(x.rows, workers: sharing(operations: 2 * x.rows * x.columns)) { part in
      for row in part {
        // Safe: a row of the view; parts write disjoint rows.
        let values = x.base + row * x.stride
        for column in 0..<x.columns where values[column].isFinite {
          let bits = values[column].bitPattern
          values[column] = Float(bitPattern: (bits &+ 0x7fff &+ (bits >> 16 & 1)) & 0xffff_0000)
        }
      }
    }
  }

  /// factors[h] = factors[h]·Π_t f[t, h], token after token: what the state was really multiplied by. f: T × H.
  package func gatherFactors(_ f: Matrix, into factors: Doubles) {
    precondition(f.columns == factors.count, "\(factors.count) factors for \(f.columns) heads")
    for row in 0..<f.rows {
      for head in 0..<f.columns where f[row, head] != 1 { factors[head] *= Double(f[row, head]) }
    }
  }

  /// dt = scale·dt, or 0 where that is below the threshold: the first two lines of the gate transform, in place.
  package func scaleAndFilter(_ dt: Matrix, scale: Float, threshold: Float) {
    for row in 0..<dt.rows {
      // Safe: a row of the view.
      let values = dt.base + row * dt.stride
      for column in 0..<dt.columns {
        let step = scale * values[column]
        values[column] = step < threshold ? 0 : step
      }
    }
  }
}
