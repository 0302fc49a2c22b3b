import MeanderErrors
import MeanderFiles
import MeanderKernels

/// What takes in a whole history, channel by channel, with a filter as long as one likes: y[t] = Σ_s h[s]·x[t - s].
///
/// A mixer has one filter with several stages of C channels each, one behind the other.
package protocol LongFilter: Sendable {
  /// C, the channels of a stage.
  var channels: Int { get }

  /// Declares the regions that one stage keeps, always as many.
  func declareState(in layout: inout StateLayout, layer: String, stage: Int) -> [StateRegion]

  /// What the stages of one run over `count` tokens share on a tape; nil where nothing is recorded.
  func prepared(for count: Int, at position: Int64, _ operations: Operations) -> Matrix?

  /// The convolution of T rows with everything before them, T × C. The state moves on by all T.
  ///
  /// - Parameters:
  ///   - x: T × C, the first row of which stands at `position`.
  ///   - first: the index of the stage's first region.
  func convolve(
    _ x: Matrix, stage: Int, prepared: Matrix?, state: MixerState, first: Int, position: Int64, _ operations: Operations
  ) -> Matrix

  /// How many of the last tokens it tells apart; nil where it forgets bit by bit.
  var reach: Int? { get }

  /// Bytes of what is made of the weights when it is first needed, at most.
  var derivedByteCount: Int { get }

  /// Floats that `convolve` allocates in the arena for each token.
  var scratchPerToken: Int { get }
}

/// Hyena (Poli and others 2023): long convolutions with gates between them, in the place of attention.
///
///     x_0 … x_{N-1}, z = conv(W_in u)                      (a short depthwise convolution, with bias)
///     z = h_n ∗ (x_n ∘ z) + d_n ∘ (x_n ∘ z)                for n = 1 … N - 1
///     out = W_out (x_0 ∘ z)
///
/// This is the order as the published code counts it: N gates and N - 1 long filters. What the filters are made of is theirs alone:
/// exact ones keep the history, distilled ones a few modes.
package struct HyenaMixer: Mixer {
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// N, the order, and K, the width of the short convolution.
    package var order, kernel: Int
  }

  let sizes: Sizes
  /// (N + 1)·D × D, with a bias.
  var inProjection: Weight
  let convolution: ConvolutionWeight
  package let filter: any LongFilter
  /// d, one row of (N - 1)·D.
  let skip: Matrix
  /// D × D, with a bias.
  let outProjection: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on, but for those of the filter.
  package init(_ sizes: Sizes, filter: any LongFilter, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    self.filter = filter
    let inner = (sizes.order + 1) * sizes.width
    inProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: inner, inner: sizes.width, bias: prefix + "in_proj.bias")
    convolution = try reader.convolution(
      prefix + "conv.weight", channels: inner, width: sizes.kernel, bias: prefix + "conv.bias")
    skip = try reader.row(prefix + "skip", count: (sizes.order - 1) * sizes.width)
    outProjection = try reader.weight(
      prefix + "out_proj.weight", outputs: sizes.width, inner: sizes.width, bias: prefix + "out_proj.bias")
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).conv", .f32, [sizes.kernel, (sizes.order + 1) * sizes.width])]
      + (0..<sizes.order - 1).flatMap { filter.declareState(in: &layout, layer: layer, stage: $0) }
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let width = sizes.width
    let mixed = operations.causalConvolution(
      operations.project(input, inProjection), window: state.matrix(0), weight: convolution, silu: false)
    func part(_ index: Int) -> Matrix { mixed.columns(index * width..<(index + 1) * width) }
    let prepared = filter.prepared(for: input.count, at: input.position, operations)
    let regions = (state.regions.count - 1) / max(1, sizes.order - 1)
    var z = part(sizes.order)
    for stage in 0..<sizes.order - 1 {
      z = operations.multiply(z, by: part(stage + 1))
      let convolved = filter.convolve(
        z, stage: stage, prepared: prepared, state: state, first: 1 + stage * regions, position: input.position, operations)
      z = operations.addProduct(convolved, z, skip.columns(stage * width..<(stage + 1) * width))
    }
    guard outputs > 0 else { return residual }
    let asked = input.count - outputs..<input.count
    let read = operations.multiply(z.rows(asked), by: part(0).rows(asked))
    return operations.project(read, outProjection, addingTo: residual)
  }

  /// It has no heads that decay as one.
  package var gating: MixerGating { .none }

  package var contextTokens: Int? { filter.reach }

  package var derivedByteCount: Int { filter.derivedByteCount }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] { [.window(state.matrix(0))] }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> HyenaMixer {
    var copy = self
    copy.inProjection = inProjection.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { inProjection.tableByteCount }

  package var scratchPerToken: Int {
    // Projected and convolved rows; for each stage what goes in, comes out and goes on; the last product; each row padded.
    2 * (sizes.order + 1) * sizes.width + (sizes.order - 1) * (2 * sizes.width + filter.scratchPerToken) + sizes.width
      + 16 * (3 * sizes.order + 4)
  }
}
