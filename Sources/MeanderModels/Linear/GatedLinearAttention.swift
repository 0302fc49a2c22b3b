import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Gated linear attention (Yang and others 2023), in the layout of flash-linear-attention.
package struct GatedLinearAttention: LinearArchitecture {
  package static let name = "gla"

  let stack: LinearStack
  private let heads: GatedHeads.Sizes
  private let decay: GatedLinearMixer.Decay

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.linearMembers(name, heads: shape.heads()) + [("expand_v", JSON(1))]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration)
    heads = try GatedHeads.Sizes(&configuration, stack, heads: 4, keys: 0.5, values: 1)
    decay = GatedLinearMixer.Decay(
      rank: try configuration.integer("gate_low_rank_dim", 16, in: 1...1 << 20),
      divisor: Float(try configuration.float("gate_logit_normalizer", 16, in: 1e-3...1e6)))
    try configuration.require("use_gk", true)
    try configuration.require("use_gv", false)
    guard !configuration.has("clamp_min") else { throw configuration.failure("clamp_min", "can only be left out here") }
    configuration.ignore(["clamp_min"])
  }

  package var arithmetic: String { "\(stack.arithmetic) \(heads.arithmetic) rank \(decay.rank) divisor \(decay.divisor)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.build(from: reader) { _, prefix in try GatedLinearMixer(heads, decay, prefix: prefix, from: reader) }
  }
}

/// Gated linear attention (Yang and others 2023): a decay for each key and token.
///
///     q = W_q u / √N,   k = W_k u,   v = W_v u,   α = σ(W_2 W_1 u + b)^(1/τ)
///     S = diag(α) S + k ⊗ v,   y = q S
///     out = W_out (silu(W_g u) ∘ norm(y)),   a norm of each head
struct GatedLinearMixer: LinearMixer {
  /// How decays are made.
  struct Decay: Sendable {
    /// Of the path that makes them.
    let rank: Int
    /// τ
    let divisor: Float
  }

  let heads: GatedHeads
  let decay: LowRank
  let divisor: Float

  init(_ sizes: GatedHeads.Sizes, _ decay: Decay, prefix: String, from reader: WeightReader) throws {
    heads = try GatedHeads(sizes, prefix: prefix, from: reader)
    divisor = decay.divisor
    self.decay = LowRank(
      down: try reader.weight(prefix + "gk_proj.0.weight", outputs: decay.rank, inner: sizes.width),
      up: try reader.weight(prefix + "gk_proj.1.weight", outputs: sizes.keys, inner: decay.rank, bias: prefix + "gk_proj.1.bias"))
  }

  private var sizes: GatedHeads.Sizes { heads.sizes }
  var memory: LinearState { heads.memory(decays: sizes.stateSize) }

  func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    // ln σ(x) = -softplus(-x), which keeps its digits where little is forgotten.
    let forgotten = operations.softplus(operations.scale(decay(input.rows, operations), by: -1), bias: nil)
    let q = operations.scale(operations.project(asked, heads.query), by: heads.queryScale)
    let read = memory.scan(
      LinearInputs(
        q: q, k: operations.project(input, heads.key), v: operations.project(input, heads.value),
        decay: operations.scale(forgotten, by: -1 / divisor), heads: sizes.heads), state, operations)
    return heads.output(read, asked, residual: residual, operations)
  }

  var exchangeReason: String { "its keys decay each by itself, and it has no time step" }

  var scratchPerToken: Int {
    12 * (sizes.keys + 16) + 6 * (sizes.values + 16) + decay.scratch + memory.scratch(removes: false)
  }
}
