import CMeanderKernels

/// A matrix as an operand of a product: as it lies, or turned.
package struct Operand {
  let matrix: Matrix
  let isTurned: Bool

  package var rows: Int { isTurned ? matrix.columns : matrix.rows }
  package var columns: Int { isTurned ? matrix.rows : matrix.columns }
}

extension Matrix {
  /// This matrix as it lies.
  package var plain: Operand { Operand(matrix: self, isTurned: false) }
  /// The transpose of this matrix, whose numbers stay where they are.
  package var turned: Operand { Operand(matrix: self, isTurned: true) }
}

extension Kernels {
  /// y = (adding ? y : 0) + a·b for two matrices as they lie, either of them turned: what the way back through a product needs.
  ///
  /// Each output is one chain of fused multiply-adds over the inner dimension in ascending order. The calling thread does it
  /// all: training shares out streams. Complexity: O(rows · inner · columns); b is packed on the way, a panel at a time.
  package func multiply(_ a: Operand, _ b: Operand, into y: Matrix, adding: Bool = false) {
    precondition(a.columns == b.rows && y.rows == a.rows && y.columns == b.columns, "a product of mismatched shapes")
    guard y.rows > 0, y.columns > 0 else { return }
    guard a.columns > 0 else {
      if !adding { y.fill(0) }
      return
    }
    // Safe: the shapes were checked above, and every stride is its view's.
    var job = meander_matrix_product(
      a: a.matrix.base, a_row: a.isTurned ? 1 : a.matrix.stride, a_inner: a.isTurned ? a.matrix.stride : 1, b: b.matrix.base,
      b_inner: b.isTurned ? 1 : b.matrix.stride, b_column: b.isTurned ? b.matrix.stride : 1, y: y.base, y_stride: y.stride,
      rows: y.rows, columns: y.columns, inner: a.columns, adding: adding)
    training.product(&job)
  }

  /// y += scale · x.
  package func add(_ x: Matrix, scale: Float = 1, to y: Matrix) {
    precondition(x.rows == y.rows && x.columns == y.columns, "shapes differ")
    // Safe: the shapes were checked above.
    var job = meander_row_sum(
      x: x.base, x_stride: x.stride, y: y.base, y_stride: y.stride, rows: x.rows, columns: x.columns, scale: scale)
    training.add_scaled(&job)
  }

  /// y += the sum of the rows of x; y: 1 × columns.
  package func addRows(of x: Matrix, to y: Matrix) {
    precondition(y.rows == 1 && x.columns == y.columns, "shapes differ")
    // Safe: the shapes were checked above.
    var job = meander_row_sum(
      x: x.base, x_stride: x.stride, y: y.base, y_stride: y.stride, rows: x.rows, columns: x.columns, scale: 1)
    training.sum_rows(&job)
  }

  /// Σ x·y over all places, each row's sum in fp32, the rows' sums in fp64.
  package func dot(_ x: Matrix, _ y: Matrix) -> Double {
    precondition(x.rows == y.rows && x.columns == y.columns, "shapes differ")
    // Safe: rows of both views, whose shapes agree.
    return (0..<x.rows).reduce(0) { $0 + Double(training.dot(x.base + $1 * x.stride, y.base + $1 * y.stride, x.columns)) }
  }

  var training: meander_training_table { table.functions.pointee.training.pointee }
}
