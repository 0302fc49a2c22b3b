import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Lightning attention (Qin and others 2024) as MiniMax has it: a linear attention whose heads forget at constant rates.
///
///     [q | k | v] = silu(W u)                        per head
///     S = exp(-rate) S + k ⊗ v,   y = q S
///     out = W_out (σ(W_gate u) ∘ norm(y)),   a norm of the whole row
package struct LightningMixer: LinearMixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// H
    package var heads: Int
    /// P, and N.
    package var headWidth: Int
    /// ε of the norm.
    package var epsilon: Float

    var inner: Int { heads * headWidth }
  }

  let sizes: Sizes
  /// The log-decay of each head, below zero.
  let decays: [Float]
  let query, key, value, gate, out: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`qkv_proj.weight and so on: each head's q, k and v stand together.
  init(_ sizes: Sizes, decays: [Float], prefix: String, from reader: WeightReader) throws {
    (self.sizes, self.decays) = (sizes, decays)
    let (inner, width) = (sizes.inner, sizes.headWidth)
    func part(_ index: Int) throws -> Weight {
      try reader.weight(
        prefix + "qkv_proj.weight", outputs: 3 * inner, inner: sizes.width,
        rows: (0..<sizes.heads).map { (3 * $0 + index) * width..<(3 * $0 + index + 1) * width })
    }
    (query, key, value) = (try part(0), try part(1), try part(2))
    gate = try reader.weight(prefix + "output_gate.weight", outputs: inner, inner: sizes.width)
    out = try reader.weight(prefix + "out_proj.weight", outputs: sizes.width, inner: inner)
    norm = try reader.rootMeanSquareNorm(prefix + "norm.weight", width: inner, epsilon: sizes.epsilon)
  }

  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.headWidth, width: sizes.headWidth, decays: 1, first: 0)
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    func activated(_ input: MixerInput, _ weight: Weight) -> Matrix {
      operations.activate(operations.project(input, weight), .silu)
    }
    let decay = operations.constantDecays(decays, rows: input.count)
    let read = memory.scan(
      LinearInputs(
        q: activated(asked, query), k: activated(input, key), v: activated(input, value), decay: decay, heads: sizes.heads),
      state, operations)
    guard outputs > 0 else { return residual }
    let opened = operations.project(asked, gate)
    return operations.project(
      operations.activate(opened, .sigmoid, times: operations.norm(read, norm)), out, addingTo: residual)
  }

  var exchangeReason: String { "its heads forget at constant rates, without gates or a time step" }

  package var scratchPerToken: Int { 10 * (sizes.inner + 16) + sizes.heads + 16 + memory.scratch(removes: false) }
}
