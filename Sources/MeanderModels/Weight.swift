import MeanderKernels

/// A matrix of weights as the products read it, with its bias.
package final class Weight: Sendable {
  /// outputs × inner.
  package let packed: PackedMatrix
  /// 1 × outputs.
  package let bias: Matrix?
  /// V × outputs: this projection of every token's normalised embedding, where the vocabulary is small enough to keep it.
  /// A row of a product does not depend on the rows beside it, so the table holds the very bits of the product.
  package let table: Matrix?

  package init(_ packed: PackedMatrix, bias: Matrix? = nil, table: Matrix? = nil) {
    self.packed = packed
    self.bias = bias
    self.table = table
  }

  var tableByteCount: Int { table.map { $0.rows * $0.columns * 4 } ?? 0 }
}

extension Weight {
  /// The same weight with its projection of each of `rows` (V × inner) at hand.
  package func tabulated(_ rows: Matrix, kernels: Kernels) -> Weight {
    let table = Matrix(rows: rows.rows, columns: packed.outputs)
    kernels.product(rows, packed, bias: bias, into: table, adding: false)
    return Weight(packed, bias: bias, table: table)
  }
}
