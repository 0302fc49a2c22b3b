import MeanderErrors
import MeanderFiles
import MeanderKernels

/// An LSTM (Hochreiter and Schmidhuber 1997) as a layer's mixer: what recurrent models were before decay became diagonal.
///
///     [i | f | g | o] = W_in u + W_rec h + b
///     c = σ(f) c + σ(i) tanh(g),   h = σ(o) tanh(c)
///     out = W_out h
package struct LongShortTermMemoryMixer: Mixer {
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// I, the channels of the memory.
    package var inner: Int
  }

  let sizes: Sizes
  /// 4·I × D, with a bias.
  var inProjection: Weight
  /// 4·I × I
  let recurrent: Weight
  /// D × I
  let outProjection: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on.
  package init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    inProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: 4 * sizes.inner, inner: sizes.width, bias: prefix + "in_proj.bias")
    recurrent = try reader.weight(prefix + "recurrent.weight", outputs: 4 * sizes.inner, inner: sizes.inner)
    outProjection = try reader.weight(prefix + "out_proj.weight", outputs: sizes.width, inner: sizes.inner)
  }

  private static let hidden = 0
  private static let cell = 1

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    ["h", "c"].map { layout.append("\(layer).\($0)", .f32, [sizes.inner], role: .recurrence) }
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let read = operations.longShortTermMemory(
      operations.project(input, inProjection), recurrent: recurrent, hidden: state.matrix(Self.hidden),
      cell: state.matrix(Self.cell))
    guard outputs > 0 else { return residual }
    return operations.project(read.rows(read.rows - outputs..<read.rows), outProjection, addingTo: residual)
  }

  package var gaugedHeads: Int { 1 }

  /// One head, the cell. What is left of its first token nobody can say: the gates depend on h.
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    [HeadReading(ofAll: state.matrix(Self.cell), kernels: kernels)]
  }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [
      ReferenceTensor(name: "h", shape: [sizes.inner], values: state.matrix(Self.hidden).array()),
      ReferenceTensor(name: "c", shape: [sizes.inner], values: state.matrix(Self.cell).array()),
    ]
  }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> LongShortTermMemoryMixer {
    var copy = self
    copy.inProjection = inProjection.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { inProjection.tableByteCount }

  package var scratchPerToken: Int {
    // The gates, h and c of each token, the rows before the first and the padding.
    6 * sizes.inner + 4 * 16
  }
}
