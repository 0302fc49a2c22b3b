import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The time mixing of RWKV-6 (Peng and others 2024): a decay for each key and token, and mixing with the row before that depends
/// on the token. With u' the row before u and i of w, k, v, r, g:
///
///     m = tanh(M1 (u + (u' - u) ∘ mix_x)),   x_i = u + (u' - u) ∘ (mix_i + M2_i m_i)
///     w = exp(-exp(w0 + W2 tanh(W1 x_w))),   k, v, r = W_i x_i,   g = silu(W_g x_g)
///     y = r S + ⟨r ∘ first, k⟩ v,            S = diag(w) S + k ⊗ v
///     out = W_o (g ∘ groupnorm(y))
package struct RWKV6TimeMixer: LinearMixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// N, also the width of a head's values.
    package var headSize: Int
    /// The rank of each mixing, and of the decay.
    package var mixRank, decayRank: Int

    var heads: Int { width / headSize }
  }

  let sizes: Sizes
  /// 1 × D
  let mix: Matrix
  /// (5·R) × D
  let mixDown: Weight
  /// D × R each, with mix_i as its bias, in the order w, k, v, r, g.
  let mixUp: [Weight]
  let decay: LowRank
  /// 1 × D
  let first: Matrix
  let key, value, receptance, gate, output: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`time_maa_x and so on, in the layout of its authors.
  init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (width, rank) = (sizes.width, sizes.mixRank)
    mix = try reader.mixRow(prefix + "time_maa_x", count: width)
    mixDown = try reader.turnedWeight(prefix + "time_maa_w1", shape: [width, 5 * rank], inner: width, outputs: 5 * rank)
    mixUp = try ["w", "k", "v", "r", "g"].enumerated().map { index, name in
      try reader.turnedWeight(
        prefix + "time_maa_w2", shape: [5, rank, width], index: index, inner: rank, outputs: width,
        bias: try reader.mixRow(prefix + "time_maa_" + name, count: width))
    }
    decay = try LowRank(
      prefix + "time_decay_w", width: width, rank: sizes.decayRank, outputs: width, bias: prefix + "time_decay", from: reader)
    first = try reader.headRow(prefix + "time_faaaa", heads: sizes.heads, width: sizes.headSize)
    func square(_ name: String) throws -> Weight { try reader.weight(prefix + name + ".weight", outputs: width, inner: width) }
    (key, value, receptance) = (try square("key"), try square("value"), try square("receptance"))
    (gate, output) = (try square("gate"), try square("output"))
    norm = try reader.layerNorm(prefix + "ln_x.", width: width, epsilon: 64e-5)
  }

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
    let (x, heads, rank) = (input.rows, sizes.heads, sizes.mixRank)
    let before = operations.shifted(x, last: state.matrix(Self.shift))
    let asked = x.rows - outputs..<x.rows
    let inner = operations.activate(operations.project(operations.addProduct(x, before, mix), mixDown), .tanh)
    func mixed(_ index: Int, _ rows: Range<Int>) -> Matrix {
      let own = inner.rows(rows).columns(index * rank..<(index + 1) * rank)
      return operations.addProduct(x.rows(rows), before.rows(rows), operations.project(own, mixUp[index]))
    }
    let all = 0..<x.rows
    let slow = operations.exponential(decay(mixed(0, all), operations, between: .tanh))
    let k = operations.project(mixed(1, all), key)
    let v = operations.project(mixed(2, all), value)
    let r = operations.project(mixed(3, asked), receptance)
    let read = memory.scan(
      LinearInputs(
        q: r, k: k, v: v, decay: operations.multiply(slow, by: operations.constant(-1, columns: sizes.width)), heads: heads,
        readsBefore: true), state, operations)
    guard outputs > 0 else { return residual }
    let own = operations.headDot(operations.multiply(r, by: first), k.rows(asked), heads: heads)
    let rows = operations.add(operations.headScale(v.rows(asked), by: own), to: read)
    let normed = operations.norm(rows, norm, groups: heads)
    let opened = operations.project(mixed(4, asked), gate)
    return operations.project(operations.activate(opened, .silu, times: normed), output, addingTo: residual)
  }

  var exchangeReason: String { "its keys decay each by itself, and it has no time step" }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [
      ReferenceTensor(name: "att_shift", shape: [sizes.width], values: state.matrix(Self.shift).array()),
      ReferenceTensor(name: "wkv", shape: [sizes.heads, sizes.headSize, sizes.headSize], values: memory.truth(state)),
    ]
  }

  package var scratchPerToken: Int {
    27 * (sizes.width + 16) + 2 * (5 * sizes.mixRank + 16) + decay.scratch + 16 * sizes.heads + memory.scratch(removes: false)
  }
}
