import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Gated linear attention (Yang and others 2023), in the layout of flash-linear-attention.
package struct GatedLinearAttention: LinearArchitecture {
  package static let name = "gla"

  let stack: LinearStack
  private let mixer: GatedLinearMixer.Sizes

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.linearMembers(name, heads: shape.heads()) + [("expand_v", JSON(1))]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration)
    let width = stack.shape.width
    let heads = try configuration.integer("num_heads", 4, in: 1...1 << 16)
    let keys = try configuration.expanded("expand_k", 0.5, width: width, heads: heads)
    let values = try configuration.expanded("expand_v", 1, width: width, heads: heads)
    mixer = GatedLinearMixer.Sizes(
      width: width, heads: heads, stateSize: keys / heads, headWidth: values / heads,
      gateRank: try configuration.integer("gate_low_rank_dim", 16, in: 1...1 << 20),
      gateDivisor: Float(try configuration.float("gate_logit_normalizer", 16, in: 1e-3...1e6)), epsilon: stack.epsilon)
    try configuration.requireOwnKeys(heads: heads)
    try configuration.require("use_output_gate", true)
    try configuration.require("use_gk", true)
    try configuration.require("use_gv", false)
    guard !configuration.has("clamp_min") else { throw configuration.failure("clamp_min", "can only be left out here") }
    configuration.ignore(["conv_size", "clamp_min"])
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) heads \(mixer.heads) keys \(mixer.stateSize) values \(mixer.headWidth) rank \(mixer.gateRank) \
    divisor \(mixer.gateDivisor)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { _, prefix in try GatedLinearMixer(mixer, prefix: prefix, from: reader) }
  }
}

/// Gated linear attention (Yang and others 2023): a decay for each key and token.
///
///     q = W_q u / √N,   k = W_k u,   v = W_v u,   α = σ(W_2 W_1 u + b)^(1/τ)
///     S = diag(α) S + k ⊗ v,   y = q S
///     out = W_out (silu(W_g u) ∘ norm(y)),   a norm of each head
struct GatedLinearMixer: LinearMixer {
  struct Sizes: Sendable {
    /// D
    var width: Int
    /// H
    var heads: Int
    /// N and P.
    var stateSize, headWidth: Int
    /// Of the path that makes the decays.
    var gateRank: Int
    /// τ
    var gateDivisor: Float
    /// ε of the norm of y.
    var epsilon: Float
  }

  let sizes: Sizes
  let query, key, value, gate, out: Weight
  let decay: LowRank
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on.
  init(_ sizes: Sizes, prefix: String, from reader: WeightReader) throws {
    self.sizes = sizes
    let (keys, values) = (sizes.heads * sizes.stateSize, sizes.heads * sizes.headWidth)
    func weight(_ name: String, _ outputs: Int, _ inner: Int, bias: String? = nil) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: inner, bias: bias.map { prefix + $0 })
    }
    (query, key) = (try weight("q_proj", keys, sizes.width), try weight("k_proj", keys, sizes.width))
    (value, gate) = (try weight("v_proj", values, sizes.width), try weight("g_proj", values, sizes.width))
    decay = LowRank(
      down: try weight("gk_proj.0", sizes.gateRank, sizes.width),
      up: try weight("gk_proj.1", keys, sizes.gateRank, bias: "gk_proj.1.bias"))
    out = try weight("o_proj", sizes.width, values)
    norm = try reader.rootMeanSquareNorm(prefix + "g_norm_swish_gate.weight", width: sizes.headWidth, epsilon: sizes.epsilon)
  }

  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.stateSize, width: sizes.headWidth, decays: sizes.stateSize, first: 0)
  }

  func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    // ln σ(x) = -softplus(-x), which keeps its digits where little is forgotten.
    let forgotten = operations.softplus(operations.scale(decay(input.rows, operations), by: -1), bias: nil)
    let q = operations.scale(operations.project(asked, query), by: 1 / Float(sizes.stateSize).squareRoot())
    let read = memory.scan(
      LinearInputs(
        q: q, k: operations.project(input, key), v: operations.project(input, value),
        decay: operations.scale(forgotten, by: -1 / sizes.gateDivisor), heads: sizes.heads), state, operations)
    guard outputs > 0 else { return residual }
    let opened = operations.project(asked, gate)
    return operations.project(
      operations.activate(opened, .silu, times: operations.normHeads(read, norm)), out, addingTo: residual)
  }

  var exchangeReason: String { "its keys decay each by itself, and it has no time step" }

  var scratchPerToken: Int {
    let (keys, values) = (sizes.heads * sizes.stateSize, sizes.heads * sizes.headWidth)
    return 12 * (keys + 16) + 6 * (values + 16) + decay.scratch + memory.scratch(removes: false)
  }
}
