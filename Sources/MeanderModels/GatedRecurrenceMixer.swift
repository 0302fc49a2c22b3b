import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The recurrent block of Griffin (De and others 2024): a real-gated linear recurrent unit behind a short convolution.
///
///     x = conv(W_x u + b),   y = gelu(W_y u + b)
///     i = σ(W_i x + b),   r = σ(W_r x + b)                 block by block of channels
///     log a = -8 r softplus(λ),   h = a h + √(1 - a²) (i ∘ x)
///     out = W_out (h ∘ y) + b
///
/// The first token of a stream is taken as it is, without the root.
package struct GatedRecurrenceMixer: Mixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// The channels of the recurrence.
    package var inner: Int
    /// Blocks of channels whose gates do not see each other.
    package var blocks: Int
    /// K
    package var convolutionWidth: Int
    package var activation: Activation
  }

  let sizes: Sizes
  let inputs, outputs, out: Weight
  let convolution: ConvolutionWeight
  /// Per block.
  let inputGates, recurrentGates: [Weight]
  /// λ, 1 × inner.
  let rate: Matrix

  /// Reads the layer whose tensors are called `prefix`linear_x.weight and so on.
  package init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (width, inner, blocks) = (sizes.width, sizes.inner, sizes.blocks)
    func weight(_ name: String, _ outputs: Int, _ inner: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: inner, bias: prefix + name + ".bias")
    }
    (inputs, outputs) = (try weight("linear_x", inner, width), try weight("linear_y", inner, width))
    out = try weight("linear_out", width, inner)
    convolution = try reader.convolution(
      prefix + "conv_1d.weight", channels: inner, width: sizes.convolutionWidth, bias: prefix + "conv_1d.bias")
    let block = inner / blocks
    func gates(_ name: String) throws -> [Weight] {
      let bias = try reader.headRow(prefix + "rg_lru." + name + "_bias", heads: blocks, width: block)
      return try (0..<blocks).map { index in
        try reader.turnedWeight(
          prefix + "rg_lru." + name + "_weight", shape: [blocks, block, block], index: index, inner: block, outputs: block,
          bias: bias.columns(index * block..<(index + 1) * block))
      }
    }
    (inputGates, recurrentGates) = (try gates("input_gate"), try gates("recurrent_gate"))
    rate = try reader.row(prefix + "rg_lru.recurrent_param", count: inner)
  }

  private static let (window, recurrence, rest, total) = (0, 1, 2, 3)

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [
      layout.append("\(layer).conv", .f32, [sizes.convolutionWidth, sizes.inner]),
      layout.append("\(layer).ssm", .f32, [sizes.inner], role: .recurrence),
      layout.append("\(layer).rest", .f32, [sizes.inner], role: .rest),
      layout.append("\(layer).retention", .f64, [sizes.inner]),
    ]
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs asked: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let x = operations.causalConvolution(
      operations.project(input, inputs), window: state.matrix(Self.window), weight: convolution, silu: false)
    let speed = operations.multiply(
      operations.softplus(rate, bias: nil), by: operations.constant(-8, columns: sizes.inner))
    let decay = operations.multiply(gate(x, recurrentGates, operations), by: speed)
    let written = operations.multiply(x, by: gate(x, inputGates, operations))
    let scale = operations.rootOfLoss(decay, isFirst: input.position == 0)
    let mixed = operations.channelRecurrence(
      operations.multiply(written, by: scale), decay: decay, state: state.matrix(Self.recurrence),
      rest: state.matrix(Self.rest))
    operations.gather(decay, into: state.doubles(Self.total))
    guard asked > 0 else { return residual }
    let opened = operations.project(input.suffix(asked), outputs)
    let read = operations.activate(
      opened, sizes.activation, times: mixed.rows(input.count - asked..<input.count))
    return operations.project(read, out, addingTo: residual)
  }

  private func gate(_ x: Matrix, _ weights: [Weight], _ operations: Operations) -> Matrix {
    let block = sizes.inner / sizes.blocks
    let parts = weights.enumerated().map { index, weight in
      operations.project(x.columns(index * block..<(index + 1) * block), weight)
    }
    return operations.activate(operations.beside(parts), .sigmoid)
  }

  package var gaugedHeads: Int { 1 }

  /// One head, all channels. What is left of its first token is what the slowest channel keeps.
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    let kept = state.doubles(Self.total).array().max() ?? -.infinity
    return [HeadReading(ofAll: state.matrix(Self.recurrence), retention: kept, kernels: kernels)]
  }

  package var gating: MixerGating { .fixed(reason: "its gate sets decay and insertion by one number, so neither can be changed alone") }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let kept = state.matrix(Self.window).rows(1..<sizes.convolutionWidth)
    return [
      ReferenceTensor(name: "ssm", shape: [sizes.inner], values: state.matrix(Self.recurrence).array()), .window(kept),
    ]
  }

  package var scratchPerToken: Int { 16 * (sizes.inner + 16) + 2 * 16 * sizes.blocks }
}

extension Operations {
  /// Matrices of as many rows side by side.
  func beside(_ parts: [Matrix]) -> Matrix {
    if parts.count == 1 { return parts[0] }
    let y = arena.matrix(rows: parts.first?.rows ?? 0, columns: parts.reduce(0) { $0 + $1.columns })
    func place(_ whole: Matrix, _ body: (_ own: Matrix, _ part: Matrix) -> Void) {
      var first = 0
      for part in parts {
        body(whole.columns(first..<first + part.columns), part)
        first += part.columns
      }
    }
    place(y) { own, part in own.copy(from: part) }
    record(y) { dy, gradients, kernels in
      place(dy) { own, part in kernels.add(own, to: gradients.of(part)) }
    }
    return y
  }

  /// √(1 - a²) of log-decays, T × I; one in the first row where `isFirst`. Its slope is bounded by 1000, as the reference bounds it.
  func rootOfLoss(_ decay: Matrix, isFirst: Bool) -> Matrix {
    let y = arena.matrix(rows: decay.rows, columns: decay.columns)
    for row in 0..<decay.rows {
      for column in 0..<decay.columns {
        let loss = isFirst && row == 0 ? 1 : 1 - MeanderKernels.exponential(2 * Double(decay[row, column]))
        y[row, column] = Float(loss.squareRoot())
      }
    }
    record(y) { dy, gradients, _ in
      let ddecay = gradients.of(decay)
      for row in (isFirst ? 1 : 0)..<max(decay.rows, isFirst ? 1 : 0) {
        for column in 0..<decay.columns {
          // d√(1 - a²) / d log a = -a² / √(1 - a²), and 1/(2√x) is at most 1000.
          let root = max(Double(y[row, column]), 1 / 2000)
          ddecay[row, column] -= Float(Double(dy[row, column]) * (1 - Double(y[row, column] * y[row, column])) / root)
        }
      }
    }
    return y
  }
}
