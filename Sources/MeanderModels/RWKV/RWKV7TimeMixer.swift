import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The time mixing of RWKV-7 (Peng and others 2025): a generalised delta rule. With u' the row before u, and lerps
/// x_i = u + (u' - u) ∘ mix_i:
///
///     r = W_r x_r,  k = W_k x_k,  v = W_v x_v,  g = G2 σ(G1 x_g)
///     w = exp(-0.606531 σ(w0 + W2 tanh(W1 x_w))),  a = σ(a0 + A2 A1 x_a)
///     v = v + (v of the first layer - v) ∘ σ(v0 + V2 V1 x_v)             in layers after the first
///     κ = k ∘ k_k of length one in each head,  k = k ∘ (1 + (a - 1) ∘ k_a)
///     S = diag(w) S - (κ ∘ a) ⊗ (κ S) + k ⊗ v                            of the state before
///     out = W_o (g ∘ (groupnorm(r S) + ⟨r ∘ r_k, k⟩ v))
package struct RWKV7TimeMixer: LinearMixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// N, also the width of a head's values.
    package var headSize: Int
    /// ε of the group norm.
    package var epsilon: Float
    /// Whether this layer's values are those that later ones mix in.
    package var isFirst: Bool

    var heads: Int { width / headSize }
  }

  /// What the layer is made of, whatever the file calls it.
  struct Weights: Sendable {
    /// 1 × D each.
    var mixR, mixW, mixK, mixV, mixA, mixG: Matrix
    var keyScale, keyShare, bonus: Matrix
    var receptance, key, value, output: Weight
    var decay, rate, gate: LowRank
    /// nil in the first layer.
    var valueShare: LowRank?
    var norm: Norm
  }

  let sizes: Sizes
  let weights: Weights

  init(_ sizes: Sizes, _ weights: Weights) { (self.sizes, self.weights) = (sizes, weights) }

  private static let shift = 0
  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.headSize, width: sizes.headSize, decays: sizes.headSize, first: 1)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).att_shift", .f32, [sizes.width])] + memory.declare(in: &layout, layer: layer, name: "wkv")
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (x, heads) = (input.rows, sizes.heads)
    let before = operations.shifted(x, last: state.matrix(Self.shift))
    let asked = x.rows - outputs..<x.rows
    func mixed(_ mix: Matrix) -> Matrix { operations.addProduct(x, before, mix) }
    let slow = operations.activate(weights.decay(mixed(weights.mixW), operations, between: .tanh), .sigmoid)
    let decay = operations.multiply(slow, by: operations.constant(-0.606531, columns: sizes.width))
    let rate = operations.activate(weights.rate(mixed(weights.mixA), operations), .sigmoid)
    let raw = operations.project(mixed(weights.mixK), weights.key)
    let unit = operations.unitHeads(operations.multiply(raw, by: weights.keyScale), heads: heads, epsilon: 1e-24)
    let key = operations.addProduct(
      raw, operations.multiply(raw, by: weights.keyShare), operations.offset(rate, by: -1))
    let value = value(mixed(weights.mixV), input, operations)
    let receptance = operations.project(
      operations.addProduct(x.rows(asked), before.rows(asked), weights.mixR), weights.receptance)
    // The state that the removal is found in is the one before its decay.
    let grown = operations.multiply(unit, by: operations.exponential(decay, scale: -1))
    let removal = operations.multiply(grown, by: minusOne(operations))
    let read = memory.scan(
      LinearInputs(
        q: receptance, k: key, v: value, decay: decay, removal: removal, replacement: operations.multiply(unit, by: rate),
        heads: heads), state, operations)
    guard outputs > 0 else { return residual }
    let own = operations.headDot(operations.multiply(receptance, by: weights.bonus), key.rows(asked), heads: heads)
    let mixedRows = operations.add(
      operations.headScale(value.rows(asked), by: own), to: operations.norm(read, weights.norm, groups: heads))
    let gate = weights.gate(
      operations.addProduct(x.rows(asked), before.rows(asked), weights.mixG), operations, between: .sigmoid)
    return operations.project(operations.multiply(mixedRows, by: gate), weights.output, addingTo: residual)
  }

  private func minusOne(_ operations: Operations) -> Matrix { operations.constant(-1, columns: sizes.width) }

  /// v, to which later layers mix that of the first one.
  private func value(_ x: Matrix, _ input: MixerInput, _ operations: Operations) -> Matrix {
    let value = operations.project(x, weights.value)
    guard let carried = input.carried?.columns(0..<sizes.width), let share = weights.valueShare else {
      if let carried = input.carried { operations.leave(value, in: carried.columns(0..<sizes.width)) }
      return value
    }
    let difference = operations.addProduct(carried, value, minusOne(operations))
    return operations.addProduct(value, difference, operations.activate(share(x, operations), .sigmoid))
  }

  package var carriedWidth: Int { sizes.width }
  var exchangeReason: String { "its delta rule has no time step to scale, and what it removes depends on the state" }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [
      ReferenceTensor(name: "att_shift", shape: [sizes.width], values: state.matrix(Self.shift).array()),
      ReferenceTensor(name: "wkv", shape: [sizes.heads, sizes.headSize, sizes.headSize], values: memory.turned(state)),
    ]
  }

  package var scratchPerToken: Int {
    let paths = [weights.decay, weights.rate, weights.gate, weights.valueShare].compactMap { $0 }
    return 30 * (sizes.width + 16) + paths.reduce(0) { $0 + $1.scratch } + 2 * 16 * sizes.heads + memory.scratch(removes: true)
  }
}

extension Operations {
  /// Copies rows to where later steps find them.
  func leave(_ x: Matrix, in place: Matrix) {
    place.copy(from: x)
    record(place) { dplace, gradients, kernels in kernels.add(dplace, to: gradients.of(x)) }
  }
}
