import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The gated delta rule (Yang and others 2025) as Qwen3-Next, Qwen3.5 and OLMo-hybrid have it, with a decay for each key as
/// Kimi Delta Attention (Kimi Team 2025), and without decay and gate as DeltaNet (Yang and others 2024):
///
///     [q | k | v] = silu(conv(W u)),   q and k of length one in each head, q times 1/√N
///     β = σ(W_b u), twice that where eigenvalues may be negative,   g = -exp(A) softplus(W_a u + b)
///     U = exp(g) S,   S = U + β k ⊗ (v - k U),   y = q S
///     out = W_out (norm(y) ∘ gate(W_z u)),   a norm of each head
package struct GatedDeltaMixer: LinearMixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// Heads of values, H, and of keys.
    package var heads, keyHeads: Int
    /// P and N.
    package var headWidth, stateSize: Int
    /// K
    package var convolutionWidth: Int
    /// ε of the norm of y.
    package var epsilon: Float
    /// Twice σ, so that what is removed can change its sign.
    package var negativeEigenvalues = false
    package var gate = Activation.silu

    /// The channels of q, or of k.
    var keys: Int { keyHeads * stateSize }
    var values: Int { heads * headWidth }
    var channels: Int { 2 * keys + values }
  }

  /// What the layer is made of, whatever the file calls it.
  struct Weights: Sendable {
    /// [q | k | v], together channels × D.
    var inputs: [Weight]
    /// K × channels together, one after the other.
    var convolutions: [ConvolutionWeight]
    /// β: H × D.
    var strength: Weight
    /// nil where nothing is forgotten but what is replaced.
    var decay: Decay?
    /// z: values × D, where there is one.
    var gate: LowRankOrFull?
    /// 1 × P
    var norm: Matrix
    /// D × values
    var out: Weight
  }

  /// g, of each head or of each key.
  struct Decay: Sendable {
    /// H × D, or H·N over a low rank.
    var projection: LowRankOrFull
    /// A of each head, 1 × H, and the bias, 1 × H or 1 × (H·N).
    var logRate, bias: Matrix
  }

  /// A projection in one step or in two.
  enum LowRankOrFull: Sendable {
    case full(Weight)
    case low(LowRank)

    func callAsFunction(_ input: MixerInput, _ operations: Operations) -> Matrix {
      switch self {
      case .full(let weight): operations.project(input, weight)
      case .low(let path): path(input.rows, operations)
      }
    }

    var rank: Int {
      if case .low(let path) = self { path.down.packed.outputs } else { 0 }
    }
  }

  let sizes: Sizes
  let weights: Weights

  init(_ sizes: Sizes, _ weights: Weights) { (self.sizes, self.weights) = (sizes, weights) }

  private static let window = 0
  private var decaysKeys: Bool { weights.decay.map { $0.bias.columns != sizes.heads } ?? false }
  var memory: LinearState {
    LinearState(
      heads: sizes.heads, size: sizes.stateSize, width: sizes.headWidth, decays: decaysKeys ? sizes.stateSize : 1, first: 1)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).conv", .f32, [sizes.convolutionWidth, sizes.channels])]
      + memory.declare(in: &layout, layer: layer, name: "ssm")
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (keys, heads) = (sizes.keys, sizes.heads)
    let mixed = convolved(operations.beside(weights.inputs.map { operations.project(input, $0) }), state, operations)
    let asked = input.count - outputs..<input.count
    func unit(_ x: Matrix) -> Matrix {
      operations.repeatHeads(
        operations.unitHeads(x, heads: sizes.keyHeads, epsilon: 1e-6), heads: sizes.keyHeads, times: heads / sizes.keyHeads)
    }
    let root = 1 / Float(sizes.stateSize).squareRoot()
    let all = heads * sizes.stateSize
    let q = operations.multiply(unit(mixed.columns(0..<keys).rows(asked)), by: operations.constant(root, columns: all))
    let k = unit(mixed.columns(keys..<2 * keys))
    let opened = operations.activate(operations.project(input, weights.strength), .sigmoid)
    let strength = sizes.negativeEigenvalues ? operations.multiply(opened, by: operations.constant(2, columns: heads)) : opened
    let read = memory.scan(
      LinearInputs(
        q: q, k: k, v: operations.headScale(mixed.columns(2 * keys..<sizes.channels), by: strength),
        decay: decay(input, operations), removal: k,
        strength: operations.multiply(strength, by: operations.constant(-1, columns: heads)), heads: heads), state, operations)
    guard outputs > 0 else { return residual }
    let normed = operations.normHeads(read, Norm(.rootMeanSquare, weight: weights.norm, epsilon: sizes.epsilon))
    let gated = weights.gate.map {
      operations.activate($0(input.suffix(outputs), operations), sizes.gate, times: normed)
    }
    return operations.project(gated ?? normed, weights.out, addingTo: residual)
  }

  private func convolved(_ x: Matrix, _ state: MixerState, _ operations: Operations) -> Matrix {
    var first = 0
    let parts = weights.convolutions.map { weight in
      let columns = first..<first + weight.taps.columns
      first = columns.upperBound
      return operations.causalConvolution(
        x.columns(columns), window: state.matrix(Self.window).columns(columns), weight: weight)
    }
    return operations.beside(parts)
  }

  /// -exp(A) softplus(W u + b): T × H, or T × (H·N).
  private func decay(_ input: MixerInput, _ operations: Operations) -> Matrix {
    guard let decay = weights.decay else { return operations.constant(0, rows: input.count, columns: sizes.heads) }
    let step = operations.softplus(decay.projection(input, operations), bias: decay.bias)
    let rates = operations.multiply(
      operations.exponential(decay.logRate), by: operations.constant(-1, columns: sizes.heads))
    guard decaysKeys else { return operations.multiply(step, by: rates) }
    let ones = operations.constant(1, columns: sizes.heads * sizes.stateSize)
    return operations.multiply(step, by: operations.headScale(ones, by: rates))
  }

  var exchangeReason: String { "what its delta rule removes depends on the state, so no input can be taken out of it again" }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [
      ReferenceTensor(
        name: "ssm", shape: [sizes.heads, sizes.stateSize, sizes.headWidth], values: memory.truth(state)),
      .window(state.matrix(Self.window)),
    ]
  }

  package var scratchPerToken: Int {
    let decays = decaysKeys ? sizes.heads * sizes.stateSize : sizes.heads
    return 4 * sizes.channels + 8 * (sizes.heads * sizes.stateSize + 16) + 7 * (sizes.values + 16) + 6 * (decays + 16)
      + 6 * (sizes.heads + 16) + (weights.decay?.projection.rank ?? 0) + (weights.gate?.rank ?? 0) + memory.scratch(removes: true) + 8 * 16
  }
}

extension Operations {
  /// Each head `times` times in a row, T × (heads · times · N): heads of values that share a head of keys, or a head's slices.
  func repeatHeads(_ x: Matrix, heads: Int, times: Int) -> Matrix {
    guard times > 1 else { return x }
    let width = x.columns / heads
    let y = arena.matrix(rows: x.rows, columns: x.columns * times)
    func places(_ body: (_ from: Range<Int>, _ to: Range<Int>) -> Void) {
      for head in 0..<heads * times {
        body(head / times * width..<(head / times + 1) * width, head * width..<(head + 1) * width)
      }
    }
    places { from, to in y.columns(to).copy(from: x.columns(from)) }
    record(y) { dy, gradients, kernels in
      guard let dx = gradients.wanted(x) else { return }
      for head in 0..<heads * times {
        kernels.add(
          dy.columns(head * width..<(head + 1) * width), to: dx.columns(head / times * width..<(head / times + 1) * width))
      }
    }
    return y
  }

  /// The norm of each head by itself, all with the same weight (1 × P), T × (H·P). x has no gaps between its rows.
  func normHeads(_ x: Matrix, _ norm: Norm) -> Matrix {
    let width = norm.weight.columns
    let heads = x.columns / width
    let rows = Matrix(x.storage, offset: x.byteOffset, rows: x.rows * heads, columns: width)
    let y = self.norm(rows, norm)
    return Matrix(y.storage, offset: y.byteOffset, rows: x.rows, columns: x.columns)
  }
}
