import MeanderErrors
import MeanderKernels

/// A feed-forward as a step's mixer: it has no state and looks at one token at a time.
///
///     out = W_down (activation(W_gate u) · W_up u)      gated (Shazeer 2020: SwiGLU with silu, GEGLU with GELU)
///     out = W_down activation(W_up u)                   without a gate
package struct FeedForwardMixer: Mixer {
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// The width between the two projections.
    package var inner: Int
    package var activation: Activation
    package var hasBias: Bool
    /// What the gate is multiplied with before its activation.
    package var gateScale: Float = 1

    package init(width: Int, inner: Int, activation: Activation, hasBias: Bool = false) {
      (self.width, self.inner, self.activation, self.hasBias) = (width, inner, activation, hasBias)
    }
  }

  /// What the tensors are called, before `.weight` and `.bias`; no gate leaves it out.
  package struct Names: Sendable {
    package var gate: String?
    package var up: String
    package var down: String

    package init(gate: String?, up: String, down: String) { (self.gate, self.up, self.down) = (gate, up, down) }
  }

  let sizes: Sizes
  /// inner × D
  var gate: Weight?
  /// inner × D
  var up: Weight
  /// D × inner
  let down: Weight

  package init(_ sizes: Sizes, _ names: Names, from reader: WeightReader) throws {
    func weight(_ name: String, _ outputs: Int, _ inner: Int) throws -> Weight {
      try reader.weight(name + ".weight", outputs: outputs, inner: inner, bias: sizes.hasBias ? name + ".bias" : nil)
    }
    self.sizes = sizes
    gate = try names.gate.map { try weight($0, sizes.inner, sizes.width) }
    up = try weight(names.up, sizes.inner, sizes.width)
    down = try weight(names.down, sizes.width, sizes.inner)
  }

  init(_ sizes: Sizes, gate: Weight?, up: Weight, down: Weight) {
    (self.sizes, self.gate, self.up, self.down) = (sizes, gate, up, down)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] { [] }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    guard outputs > 0 else { return residual }
    let input = input.suffix(outputs)
    let inner: Matrix
    if let gate {
      let opened = operations.scale(operations.project(input, gate), by: sizes.gateScale)
      inner = operations.activate(opened, sizes.activation, times: operations.project(input, up))
    } else {
      inner = operations.activate(operations.project(input, up), sizes.activation)
    }
    return operations.project(inner, down, addingTo: residual)
  }

  package var gating: MixerGating { .none }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] { [] }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> FeedForwardMixer {
    var copy = self
    copy.gate = gate?.tabulated(rows, kernels: kernels)
    copy.up = up.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { (gate?.tableByteCount ?? 0) + up.tableByteCount }

  package var scratchPerToken: Int { 3 * (sizes.inner + 16) + 1 }
}
