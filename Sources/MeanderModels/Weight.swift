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
  /// In training, the parameters that were packed: runs of rows of the named tensors, as many rows in all as there are
  /// outputs; empty elsewhere. Their gradients stand where `Gradients` says.
  package let sources: [Matrix]
  /// The same for the bias, runs of columns.
  package let biasSources: [Matrix]
  /// In training, the parameter that stands turned in its file, inner × outputs, in the place of `sources`.
  package let turnedSource: Matrix?

  package init(
    _ packed: PackedMatrix, bias: Matrix? = nil, table: Matrix? = nil, sources: [Matrix] = [], biasSources: [Matrix] = [],
    turnedSource: Matrix? = nil
  ) {
    self.packed = packed
    self.bias = bias
    self.table = table
    self.sources = sources
    self.biasSources = biasSources
    self.turnedSource = turnedSource
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

/// A depthwise convolution's weights: taps as the kernel reads them, channels in lanes.
package struct ConvolutionWeight: Sendable {
  /// K × C
  package let taps: Matrix
  /// 1 × C
  package let bias: Matrix?
  /// In training, the parameter that the taps were turned from: C × K.
  package let source: Matrix?

  package init(taps: Matrix, bias: Matrix?, source: Matrix? = nil) {
    (self.taps, self.bias, self.source) = (taps, bias, source)
  }

  /// Channels `range`, sharing these numbers.
  package func channels(_ range: Range<Int>) -> ConvolutionWeight {
    ConvolutionWeight(taps: taps.columns(range), bias: bias?.columns(range), source: source?.rows(range))
  }
}

/// The gates of a layer's heads.
package struct HeadGates: Sendable {
  package let gates: [HeadGate]
  /// In training, the parameters that they were made of, 1 × H each: the bias on dt, and ln|A|.
  package let bias: Matrix?
  package let logRate: Matrix?

  package init(_ gates: [HeadGate], bias: Matrix? = nil, logRate: Matrix? = nil) {
    (self.gates, self.bias, self.logRate) = (gates, bias, logRate)
  }

  /// The same heads with a transform each on top of what the model was trained with; none leaves them as they are.
  func applied(_ transforms: [GateTransform]) -> HeadGates {
    guard !transforms.isEmpty else { return self }
    return HeadGates(zip(transforms, gates).map { $0.applied(to: $1) }, bias: bias, logRate: logRate)
  }
}
