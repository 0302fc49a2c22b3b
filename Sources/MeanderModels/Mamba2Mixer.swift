import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The Mamba-2 layer (Dao and Gu 2024, "Transformers are SSMs"), groups included.
///
///     [z | x B C | dt] = W_in u
///     x, B, C = silu(conv(x B C))
///     h = exp(A·dt) h + dt · x ⊗ B,   y = C h + D x      (per head; see `Kernels.selectiveScan`)
///     out = W_out norm(y · silu(z))                       (the norm works group by group)
package struct Mamba2Mixer: Mixer {
  /// Everything that a configuration says about the layer.
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// H
    package var heads: Int
    /// P
    package var headWidth: Int
    /// N
    package var stateSize: Int
    /// G
    package var groups: Int
    /// K
    package var convolutionWidth: Int
    /// ε of the gated norm.
    package var epsilon: Float
    /// The bounds of the time step after softplus.
    package var timeStepLimit: ClosedRange<Float>
    package var hasProjectionBias: Bool
    package var hasConvolutionBias: Bool
    /// What z, x, B, C and dt are multiplied with as they are projected.
    package var multipliers: [Float]?
    package var norm = OutputNorm.afterGate

    package enum OutputNorm: Sendable {
      case afterGate, beforeGate, none
    }

    /// H·P
    var inner: Int { heads * headWidth }
    /// The channels of B, or of C: G·N.
    var keys: Int { groups * stateSize }
  }

  let sizes: Sizes
  /// [x | B | dt], what the state takes in: (inner + G·N + H) × D.
  var stateProjection: Weight
  /// [C | z], what only an output needs: (G·N + inner) × D.
  var outputProjection: Weight
  /// K × (inner + 2·G·N), in the order x, B, C.
  let convolution: ConvolutionWeight
  let heads: HeadGates
  /// D, 1 × H.
  let skip: Matrix
  /// 1 × inner
  let norm: Matrix?
  /// D × inner
  let outProjection: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on.
  package init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let inner = sizes.inner
    let keys = sizes.keys
    let channels = inner + 2 * keys
    let rows = inner + channels + sizes.heads
    let gate = 0..<inner
    let written = inner..<2 * inner + keys
    let read = 2 * inner + keys..<inner + channels
    let step = inner + channels..<rows
    let projectionBias = sizes.hasProjectionBias ? prefix + "in_proj.bias" : nil
    stateProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: rows, inner: sizes.width, rows: [written, step], bias: projectionBias)
    outputProjection = try reader.weight(
      prefix + "in_proj.weight", outputs: rows, inner: sizes.width, rows: [read, gate], bias: projectionBias)
    convolution = try reader.convolution(
      prefix + "conv1d.weight", channels: channels, width: sizes.convolutionWidth,
      bias: sizes.hasConvolutionBias ? prefix + "conv1d.bias" : nil)
    let bias = try reader.row(prefix + "dt_bias", count: sizes.heads)
    let logRate = try reader.row(prefix + "A_log", count: sizes.heads)
    heads = HeadGates(
      zip(bias.array(), logRate.array()).map { bias, logRate in
        HeadGate(
          rate: -exponential(Double(logRate)), bias: bias, minimum: sizes.timeStepLimit.lowerBound,
          maximum: sizes.timeStepLimit.upperBound)
      }, bias: bias, logRate: logRate)
    skip = try reader.row(prefix + "D", count: sizes.heads)
    norm = sizes.norm == .none ? nil : try reader.row(prefix + "norm.weight", count: inner)
    outProjection = try reader.weight(
      prefix + "out_proj.weight", outputs: sizes.width, inner: inner,
      bias: sizes.hasProjectionBias ? prefix + "out_proj.bias" : nil)
  }

  // The regions, in the order of `declareState`.
  private static let window = 0
  private static let recurrence = 1
  private static let pending = 2
  private static let total = 3

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    let channels = sizes.inner + 2 * sizes.keys
    return [
      layout.append("\(layer).conv", .f32, [sizes.convolutionWidth, channels]),
      layout.append("\(layer).ssm", .f32, [sizes.heads, sizes.stateSize, sizes.headWidth], role: .recurrence),
      layout.append("\(layer).pending", .f64, [sizes.heads]),
      layout.append("\(layer).retention", .f64, [sizes.heads]),
    ]
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let inner = sizes.inner
    let keys = sizes.keys
    let projected = multiplied(
      operations.project(input, stateProjection), [(1, inner), (2, keys), (4, sizes.heads)], operations)
    let written = convolve(projected.columns(0..<inner + keys), 0..<inner + keys, state, operations)
    let (read, gate) = readout(input, state: state, outputs: outputs, operations)
    let mixed = operations.selectiveScan(
      x: written.columns(0..<inner), b: written.columns(inner..<inner + keys), c: read,
      dt: projected.columns(inner + keys..<inner + keys + sizes.heads),
      heads: heads.applied(state.gates),
      skip: skip, state: state.matrix(Self.recurrence), rest: state.rest, pending: state.doubles(Self.pending),
      total: state.doubles(Self.total), shadow: state.shadow, groups: sizes.groups, outputs: outputs)
    guard outputs > 0 else { return residual }
    return operations.project(gated(mixed, gate, operations), outProjection, addingTo: residual)
  }

  /// norm(y · silu(z)), or with the norm before the gate, or without one.
  private func gated(_ mixed: Matrix, _ gate: Matrix, _ operations: Operations) -> Matrix {
    guard let norm else { return operations.activate(gate, .silu, times: mixed) }
    if sizes.norm == .afterGate {
      return operations.gatedRootMeanSquareNorm(
        mixed, gate: gate, weight: norm, epsilon: sizes.epsilon, groups: sizes.groups)
    }
    let normed = operations.norm(
      mixed, Norm(.rootMeanSquare, weight: norm, epsilon: sizes.epsilon), groups: sizes.groups)
    return operations.activate(gate, .silu, times: normed)
  }

  /// Rows whose parts, of so many columns each, are multiplied by the multipliers of these indices.
  private func multiplied(_ x: Matrix, _ parts: [(index: Int, columns: Int)], _ operations: Operations) -> Matrix {
    guard let multipliers = sizes.multipliers else { return x }
    let row = operations.arena.matrix(rows: 1, columns: x.columns)
    var first = 0
    for (index, columns) in parts {
      row.columns(first..<first + columns).fill(multipliers[index])
      first += columns
    }
    return operations.multiply(x, by: row)
  }

  /// C (outputs × G·N) and the gate z (outputs × inner) of the last `outputs` tokens.
  ///
  /// The state takes in nothing of either but the convolution's window over C, so no more rows are projected than the
  /// outputs and the K inputs before the end need.
  private func readout(
    _ input: MixerInput, state: MixerState, outputs: Int, _ operations: Operations
  ) -> (read: Matrix, gate: Matrix) {
    let keys = sizes.keys
    let channels = sizes.inner + keys..<sizes.inner + 2 * keys
    let needed = min(input.count, outputs + sizes.convolutionWidth)
    let projected = multiplied(
      operations.project(input.suffix(needed), outputProjection), [(3, keys), (0, sizes.inner)], operations)
    let unread = needed - outputs
    if input.count > needed {
      state.matrix(Self.window).columns(channels).copy(from: projected.rows(0..<sizes.convolutionWidth).columns(0..<keys))
      let rows = projected.rows(sizes.convolutionWidth..<needed)
      return (
        convolve(rows.columns(0..<keys), channels, state, operations),
        rows.columns(keys..<keys + sizes.inner)
      )
    }
    let read = convolve(projected.columns(0..<keys), channels, state, operations)
    return (read.rows(unread..<needed), projected.rows(unread..<needed).columns(keys..<keys + sizes.inner))
  }

  private func convolve(_ x: Matrix, _ channels: Range<Int>, _ state: MixerState, _ operations: Operations) -> Matrix {
    operations.causalConvolution(
      x, window: state.matrix(Self.window).columns(channels), weight: convolution.channels(channels))
  }

  package var gaugedHeads: Int { sizes.heads }

  package var showsSteps: Bool { true }

  package var gating: MixerGating { .heads(heads.gates.map(\.rate), stateSize: sizes.stateSize, headWidth: sizes.headWidth) }

  package func headed(_ state: MixerState) -> HeadedState? {
    HeadedState(
      heads: sizes.heads, recurrence: state.matrix(Self.recurrence), pending: state.doubles(Self.pending),
      total: state.doubles(Self.total))
  }

  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    let pending = state.doubles(Self.pending).array()
    let total = state.doubles(Self.total).array()
    let entries = Double(sizes.stateSize * sizes.headWidth)
    return kernels.headStatistics(state.matrix(Self.recurrence), heads: sizes.heads).enumerated().map { head, statistics in
      let stored = statistics.sumOfSquares.squareRoot()
      let scale = stored / entries.squareRoot()
      return HeadReading(
        norm: stored * exponential(pending[head]),
        largestOverRMS: scale > 0 ? Double(statistics.largest) / scale : 0,
        retention: total[head], isFinite: statistics.isFinite && pending[head].isFinite)
    }
  }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let pending = state.doubles(Self.pending).array()
    let stored = state.matrix(Self.recurrence).array()
    let (heads, width, size) = (sizes.heads, sizes.headWidth, sizes.stateSize)
    var recurrence = [Float](repeating: 0, count: stored.count)
    for head in 0..<heads {
      let scale = exponential(pending[head])
      for p in 0..<width {
        for n in 0..<size {
          recurrence[(head * width + p) * size + n] = Float(Double(stored[(head * size + n) * width + p]) * scale)
        }
      }
    }
    return [
      ReferenceTensor(name: "ssm", shape: [heads, width, size], values: recurrence),
      .window(state.matrix(Self.window)),
    ]
  }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> Mamba2Mixer {
    var copy = self
    copy.stateProjection = stateProjection.tabulated(rows, kernels: kernels)
    copy.outputProjection = outputProjection.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { stateProjection.tableByteCount + outputProjection.tableByteCount }

  package var scratchPerToken: Int {
    // Both projections, both convolutions' outputs, gates, mixed and normed rows; each row padded to 16 floats.
    5 * sizes.inner + 4 * sizes.keys + 4 * sizes.heads + 8 * 16
      + (sizes.multipliers == nil ? 0 : 2 * sizes.inner + 2 * sizes.keys + sizes.heads + 4 * 16)
  }
}
