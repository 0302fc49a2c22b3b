import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Multi-head latent attention (DeepSeek-AI 2024) without positions: all heads read one latent row for each token, and that row is
/// all that is kept of it.
///
///     q = W_q u, per head [q_n | q_r];   [c | r] = W_a u,   c = norm(c)
///     score = (q_n·K c + q_r·r) / √(N + R),   out = W_o V Σ softmax(score) c          K and V per head
///
/// q_n·K c is (Kᵀ q_n)·c, so the queries take K in and one head of keys, [c | r], serves all.
package struct LatentAttentionMixer: Mixer {
  package struct Sizes: Sendable {
    /// D
    package var width: Int
    /// H
    package var heads: Int
    /// The latent's width; N and R of a head's queries; and the width of a head's values.
    package var rank, plain, shared, values: Int
    /// ε of the latent's norm.
    package var epsilon: Float

    /// The width of a kept row.
    var kept: Int { rank + shared }
    /// Bytes that a token takes.
    var bytesPerToken: Int { 4 * (kept + (kept + 15) / 16 * 16) }
  }

  let sizes: Sizes
  let bound: AttentionBound
  let rule: AttentionRule
  /// H·(N + R) × D
  let queries: Weight
  /// (rank + R) × D
  let latent: Weight
  let norm: Norm
  /// Per head: Kᵀ, rank × N, and V, values × rank.
  let absorbed, expanded: [Weight]
  /// D × H·values
  let out: Weight

  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on.
  init(_ sizes: Sizes, _ bound: AttentionBound, prefix: String, from reader: WeightReader) throws {
    (self.sizes, self.bound) = (sizes, bound)
    let (heads, rank, each) = (sizes.heads, sizes.rank, sizes.plain + sizes.values)
    queries = try reader.weight(
      prefix + "q_proj.weight", outputs: heads * (sizes.plain + sizes.shared), inner: sizes.width)
    latent = try reader.weight(prefix + "kv_a_proj_with_mqa.weight", outputs: sizes.kept, inner: sizes.width)
    norm = try reader.rootMeanSquareNorm(prefix + "kv_a_layernorm.weight", width: rank, epsilon: sizes.epsilon)
    let name = prefix + "kv_b_proj.weight"
    absorbed = try (0..<heads).map {
      try reader.turnedWeight(name, shape: [heads * each, rank], firstRow: $0 * each, inner: sizes.plain, outputs: rank)
    }
    expanded = try (0..<heads).map {
      try reader.weight(
        name, outputs: heads * each, inner: rank, rows: [$0 * each + sizes.plain..<($0 + 1) * each])
    }
    out = try reader.weight(prefix + "o_proj.weight", outputs: sizes.width, inner: heads * sizes.values)
    rule = AttentionRule(
      globals: bound.globals, window: bound.locals, ceiling: bound.locals,
      scale: 1 / Float(sizes.plain + sizes.shared).squareRoot(), bias: nil, softplus: nil)
  }

  private var kept: AttentionCacheShape {
    AttentionCacheShape(keyHeads: 1, headWidth: sizes.kept, bound: bound, rule: rule, keepsFarKeys: false)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    kept.declare(in: &layout, layer: layer)
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (rank, plain, shared) = (sizes.rank, sizes.plain, sizes.shared)
    let projected = operations.project(input, latent)
    let rows = operations.norm(projected.columns(0..<rank), norm)
    let keys = operations.beside([rows, projected.columns(rank..<rank + shared)])
    let values = operations.beside([rows, operations.constant(0, rows: input.count, columns: shared)])
    let asked = operations.project(input.suffix(outputs), queries)
    let q = operations.beside(
      (0..<sizes.heads).flatMap { head in
        let own = asked.columns(head * (plain + shared)..<(head + 1) * (plain + shared))
        return [operations.project(own.columns(0..<plain), absorbed[head]), own.columns(plain..<plain + shared)]
      })
    let operands = AttentionOperands(q: q, farQ: nil, k: keys, plainK: keys, v: values, position: input.position)
    let mixed = operations.attention(operands, kept.cache(state), rule)
    guard outputs > 0 else { return residual }
    let read = operations.beside(
      (0..<sizes.heads).map { head in
        operations.project(mixed.columns(head * sizes.kept..<head * sizes.kept + rank), expanded[head])
      })
    return operations.project(read, out, addingTo: residual)
  }

  package var gating: MixerGating { .none }
  package var attends: Bool { true }

  package var contextTokens: Int? { bound.globals + bound.locals }

  package var capacity: StreamCapacity? { kept.capacity }

  /// The latent as k and what the keys share as v, 1 × tokens × width each.
  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let rows = kept.rows(kept.cache(state), position: state.state.position)
    let (rank, shared) = (sizes.rank, sizes.shared)
    return [
      ReferenceTensor(name: "k", shape: [1, rows.count, rank], values: rows.flatMap { $0.k[0..<rank] }),
      ReferenceTensor(name: "v", shape: [1, rows.count, shared], values: rows.flatMap { $0.k[rank..<rank + shared] }),
    ]
  }

  package var scratchPerToken: Int {
    let heads = sizes.heads
    return heads * (sizes.plain + sizes.shared + 3 * sizes.kept + 2 * sizes.values + 4 * 16) + 5 * (sizes.kept + 16)
  }
}
