import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The gated short convolution of LFM2 (Liquid AI 2025): a memory of K tokens.
///
///     [B | C | x] = W_in u
///     out = W_out (C ∘ conv(B ∘ x))
package struct ShortConvolutionMixer: Mixer {
  /// D, and K.
  let width, kernel: Int
  /// B, C and x: D × D each.
  let inputGate, outputGate, value: Weight
  let convolution: ConvolutionWeight
  let out: Weight

  /// Reads the layer whose tensors are called `prefix`in_proj.weight and so on.
  package init(width: Int, kernel: Int, hasBias: Bool, prefix: String, from reader: WeightReader) throws {
    (self.width, self.kernel) = (width, kernel)
    func part(_ index: Int) throws -> Weight {
      try reader.weight(
        prefix + "in_proj.weight", outputs: 3 * width, inner: width, rows: [index * width..<(index + 1) * width],
        bias: hasBias ? prefix + "in_proj.bias" : nil)
    }
    (inputGate, outputGate, value) = (try part(0), try part(1), try part(2))
    convolution = try reader.convolution(
      prefix + "conv.weight", channels: width, width: kernel, bias: hasBias ? prefix + "conv.bias" : nil)
    out = try reader.weight(
      prefix + "out_proj.weight", outputs: width, inner: width, bias: hasBias ? prefix + "out_proj.bias" : nil)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).conv", .f32, [kernel, width])]
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let gated = operations.multiply(operations.project(input, value), by: operations.project(input, inputGate))
    let mixed = operations.causalConvolution(gated, window: state.matrix(0), weight: convolution, silu: false)
    guard outputs > 0 else { return residual }
    let gate = operations.project(input.suffix(outputs), outputGate)
    let read = operations.multiply(mixed.rows(input.count - outputs..<input.count), by: gate)
    return operations.project(read, out, addingTo: residual)
  }

  /// It has no recurrent state that decays: what it remembers is K tokens.
  package var gating: MixerGating { .none }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] { [.window(state.matrix(0))] }

  package var scratchPerToken: Int { 6 * (width + 16) }
}
