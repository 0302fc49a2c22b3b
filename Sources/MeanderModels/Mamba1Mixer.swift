import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The Mamba layer (Gu and Dao 2023): a selective scan with a decay of its own for every channel and state entry.
///
///     [x | z] = W_in u,   x = silu(conv(x))
///     [dt | B | C] = W_x x,   dt = softplus(W_dt dt + b)
///     h[n, i] = exp(dt_i A[i, n]) h[n, i] + dt_i B_n x_i,   y_i = Σ_n C_n h[n, i] + D_i x_i
///     out = W_out (y · silu(z))
package struct Mamba1Mixer: Mixer {
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// I, the channels of the scan.
    package var inner: Int
    /// N
    package var stateSize: Int
    /// R, the rank of the time step's projection.
    package var timeStepRank: Int
    /// K
    package var convolutionWidth: Int
    package var hasProjectionBias: Bool
    package var hasConvolutionBias: Bool
    /// Norms of dt, B and C behind their projection.
    package var selectionNorms = SelectionNorms.none

    package enum SelectionNorms: Sendable, Equatable {
      case none
      /// Without weights (Falcon-Mamba).
      case weightless(epsilon: Float)
      /// With the tensors dt_layernorm, b_layernorm and c_layernorm (Jamba).
      case weighted(epsilon: Float)
    }
  }

  let sizes: Sizes
  /// x: I × D
  var stateProjection: Weight
  /// z: I × D
  var outputProjection: Weight
  /// K × I
  let convolution: ConvolutionWeight
  /// [dt | B | C]: (R + 2·N) × I
  let selection: Weight
  /// I × R
  let timeStep: Weight
  /// 1 × I
  let timeStepBias: Matrix
  /// A = -exp(A_log), N × I
  let rate: Matrix
  /// In training, A_log itself, I × N.
  let logRate: Matrix?
  /// Of dt, B and C.
  let selectionNorms: [Norm]
  /// D, 1 × I
  let skip: Matrix
  /// D × I
  let outProjection: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on.
  package init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (inner, size) = (sizes.inner, sizes.stateSize)
    let bias = sizes.hasProjectionBias ? prefix + "in_proj.bias" : nil
    stateProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: 2 * inner, inner: sizes.width, rows: [0..<inner], bias: bias)
    outputProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: 2 * inner, inner: sizes.width, rows: [inner..<2 * inner], bias: bias)
    convolution = try reader.convolution(
      prefix + "conv1d.weight", channels: inner, width: sizes.convolutionWidth,
      bias: sizes.hasConvolutionBias ? prefix + "conv1d.bias" : nil)
    selection = try reader.weight(prefix + "x_proj.weight", outputs: sizes.timeStepRank + 2 * size, inner: inner)
    timeStep = try reader.weight(prefix + "dt_proj.weight", outputs: inner, inner: sizes.timeStepRank)
    timeStepBias = try reader.row(prefix + "dt_proj.bias", count: inner)
    let logarithms = try reader.values(prefix + "A_log", shape: [inner, size])
    let rates = (0..<size).flatMap { n in (0..<inner).map { Float(-exponential(Double(logarithms[$0 * size + n]))) } }
    rate = Matrix(rates, rows: size, columns: inner)
    logRate = reader.parameter(prefix + "A_log")
    let widths = [("dt", sizes.timeStepRank), ("b", size), ("c", size)]
    switch sizes.selectionNorms {
    case .none: selectionNorms = []
    case .weightless(let epsilon):
      selectionNorms = widths.map { width in
        Norm(.rootMeanSquare, weight: Matrix([Float](repeating: 1, count: width.1), rows: 1, columns: width.1), epsilon: epsilon)
      }
    case .weighted(let epsilon):
      selectionNorms = try widths.map { name, width in
        try reader.rootMeanSquareNorm(prefix + name + "_layernorm.weight", width: width, epsilon: epsilon)
      }
    }
    skip = try reader.row(prefix + "D", count: inner)
    outProjection = try reader.weight(
      prefix + "out_proj.weight", outputs: sizes.width, inner: inner,
      bias: sizes.hasProjectionBias ? prefix + "out_proj.bias" : nil)
  }

  private static let window = 0
  private static let recurrence = 1
  private static let rest = 2
  private static let total = 3

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [
      layout.append("\(layer).conv", .f32, [sizes.convolutionWidth, sizes.inner]),
      layout.append("\(layer).ssm", .f32, [sizes.stateSize, sizes.inner], role: .recurrence),
      layout.append("\(layer).rest", .f32, [sizes.stateSize, sizes.inner], role: .rest),
      // Of each channel the sum of its time steps, as far as they scale A; behind them what retention adds to every log-decay.
      layout.append("\(layer).retention", .f64, [sizes.inner + 1]),
    ]
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (rank, size) = (sizes.timeStepRank, sizes.stateSize)
    let x = operations.causalConvolution(
      operations.project(input, stateProjection), window: state.matrix(Self.window), weight: convolution)
    let selected = operations.project(x, selection)
    func part(_ index: Int, _ columns: Range<Int>, rows: Range<Int>) -> Matrix {
      let part = selected.columns(columns).rows(rows)
      return selectionNorms.isEmpty ? part : operations.norm(part, selectionNorms[index])
    }
    let all = 0..<x.rows
    let dt = operations.softplus(
      operations.project(part(0, 0..<rank, rows: all), timeStep), bias: timeStepBias)
    let mixed = operations.channelScan(
      ChannelInputs(
        x: x, dt: dt, rate: rate, b: part(1, rank..<rank + size, rows: all),
        c: part(2, rank + size..<rank + 2 * size, rows: x.rows - outputs..<x.rows), skip: skip, logRate: logRate),
      state: state.matrix(Self.recurrence), rest: state.matrix(Self.rest), transform: state.gates.first ?? .identity)
    let (transform, total) = (state.gates.first ?? .identity, state.doubles(Self.total))
    operations.gather(dt, scale: transform.rateScale, into: total)
    for _ in 0..<x.rows { total[sizes.inner] += transform.logRetention }
    guard outputs > 0 else { return residual }
    let gate = operations.project(input.suffix(outputs), outputProjection)
    return operations.project(operations.activate(gate, .silu, times: mixed), outProjection, addingTo: residual)
  }

  package var gaugedHeads: Int { 1 }

  /// One transform for all channels; what acts on heads between tokens has none to act on.
  package var gating: MixerGating { .channels }

  /// One head. What is left of its first token is what the slowest number of the slowest channel keeps.
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    let total = state.doubles(Self.total)
    let slowest = (0..<sizes.inner).map { channel in
      (0..<sizes.stateSize).reduce(-Float.infinity) { max($0, rate[$1, channel]) }
    }
    let kept = slowest.enumerated().reduce(-Double.infinity) { max($0, Double($1.element) * total[$1.offset]) }
    return [
      HeadReading(ofAll: state.matrix(Self.recurrence), retention: kept + total[sizes.inner], kernels: kernels)
    ]
  }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let stored = state.matrix(Self.recurrence).array()
    let (inner, size) = (sizes.inner, sizes.stateSize)
    let turned = (0..<inner).flatMap { i in (0..<size).map { stored[$0 * inner + i] } }
    return [
      ReferenceTensor(name: "ssm", shape: [inner, size], values: turned),
      .window(state.matrix(Self.window)),
    ]
  }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> Mamba1Mixer {
    var copy = self
    copy.stateProjection = stateProjection.tabulated(rows, kernels: kernels)
    copy.outputProjection = outputProjection.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { stateProjection.tableByteCount + outputProjection.tableByteCount }

  package var scratchPerToken: Int {
    // Two projections, the convolution's output, the selection, dt before and after softplus, mixed and gated rows.
    7 * sizes.inner + 2 * sizes.timeStepRank + 4 * sizes.stateSize + 11 * 16
  }
}
