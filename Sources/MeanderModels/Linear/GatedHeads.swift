import MeanderFiles
import MeanderKernels

/// What RetNet and gated linear attention have in common: heads of keys and of values, whose outputs pass a norm of each head
/// and a gate.
///
///     q = W_q u / √N,   k = W_k u,   v = W_v u,   out = W_out (silu(W_g u) ∘ norm(y))
struct GatedHeads {
  struct Sizes: Sendable {
    /// D
    let width: Int
    /// H
    let heads: Int
    /// N and P.
    let stateSize, headWidth: Int
    /// ε of the norm of y.
    let epsilon: Float

    /// - Parameters:
    ///   - heads, keys, values: what the absence of `num_heads`, `expand_k` and `expand_v` means.
    init(_ configuration: inout Configuration, _ stack: LinearStack, heads: Int, keys: Double, values: Double) throws {
      (width, epsilon) = (stack.shape.width, stack.epsilon)
      self.heads = try configuration.integer("num_heads", heads, in: 1...1 << 16)
      stateSize = try configuration.expanded("expand_k", keys, width: width, heads: self.heads) / self.heads
      headWidth = try configuration.expanded("expand_v", values, width: width, heads: self.heads) / self.heads
      try configuration.requireOwnKeys(heads: self.heads)
      try configuration.require("use_output_gate", true)
      configuration.ignore(["conv_size"])
    }

    var keys: Int { heads * stateSize }
    var values: Int { heads * headWidth }
    var arithmetic: String { "heads \(heads) keys \(stateSize) values \(headWidth)" }
  }

  let sizes: Sizes
  let query, key, value, gate, out: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on.
  init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    func weight(_ name: String, _ outputs: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: sizes.width)
    }
    (query, key) = (try weight("q_proj", sizes.keys), try weight("k_proj", sizes.keys))
    (value, gate) = (try weight("v_proj", sizes.values), try weight("g_proj", sizes.values))
    out = try reader.weight(prefix + "o_proj.weight", outputs: sizes.width, inner: sizes.values)
    norm = try reader.rootMeanSquareNorm(prefix + "g_norm_swish_gate.weight", width: sizes.headWidth, epsilon: sizes.epsilon)
  }

  /// The state of heads that forget by `decays` numbers each.
  func memory(decays: Int) -> LinearState {
    LinearState(heads: sizes.heads, size: sizes.stateSize, width: sizes.headWidth, decays: decays, first: 0)
  }

  /// 1 / √N
  var queryScale: Float { 1 / Float(sizes.stateSize).squareRoot() }

  /// `residual` with what was read of the state for the tokens of `input`.
  func output(_ read: Matrix, _ input: MixerInput, residual: Matrix, _ operations: Operations) -> Matrix {
    guard input.count > 0 else { return residual }
    return operations.project(
      operations.activate(operations.project(input, gate), .silu, times: operations.normHeads(read, norm)), out,
      addingTo: residual)
  }
}
