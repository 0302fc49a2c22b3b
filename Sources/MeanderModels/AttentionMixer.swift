import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Softmax attention with grouped queries (Vaswani and others 2017, Ainslie and others 2023), in constant memory.
///
///     q, k, v = W_q u, W_k u, W_v u          (per head, perhaps normed, perhaps turned by position)
///     out = W_o Σ softmax(scale · q·k + bias) v
///
/// A token sees the first tokens of the stream and the last ones before it (the Λ-shaped mask of LM-Infinite); distances count no
/// further than the window, as if the first tokens stood there.
package struct AttentionMixer: Mixer {
  package struct Sizes: Sendable {
    /// D, the width of the residual stream.
    package var width: Int
    /// H, and of keys and values KV.
    package var heads: Int
    package var keyHeads: Int
    /// P
    package var headWidth: Int
    package var hasInputBias = false
    package var hasOutputBias = false
    package var positions = AttentionPositions.none
    /// What scores are multiplied with; 1/√P unless it is set.
    package var scale: Float?
    /// ε of a norm of each head's queries and keys, where there is one.
    package var headNorm: Float?
    /// What is added to that norm's weight, and whether it goes over all heads at once.
    package var headNormOffset: Float = 0
    package var normsRows = false
    /// What keys are multiplied with.
    package var keyScale: Float = 1
    /// Whether the queries' tensor holds, behind each head's rows, those of a gate on its output: σ(gate) ∘ mixed.
    package var hasGate = false
    package var softplus: SoftplusRule?
    /// Whether there is an endless prefix of P² + P numbers a head.
    package var hasPrefix = false

    package init(width: Int, heads: Int, keyHeads: Int, headWidth: Int) {
      (self.width, self.heads, self.keyHeads, self.headWidth) = (width, heads, keyHeads, headWidth)
    }

    /// Bytes that a token's keys and values take.
    package var bytesPerToken: Int { 4 * keyHeads * (headWidth + (headWidth + 15) / 16 * 16) }
  }

  /// What the tensors are called, before `.weight` and `.bias`.
  package struct Names: Sendable {
    package var q, k, v, output: String
    package var qNorm = "", kNorm = ""
    package var prefix = ""

    package init(q: String, k: String, v: String, output: String) {
      (self.q, self.k, self.v, self.output) = (q, k, v, output)
    }
  }

  let sizes: Sizes
  let bound: AttentionBound
  let rule: AttentionRule
  /// H·P × D, and KV·P × D twice.
  var queries, keys, values: Weight
  /// H·P × D, where there is one.
  var gate: Weight?
  /// D × H·P
  let output: Weight
  let queryNorm, keyNorm: Norm?
  let bias: DistanceBias?
  let prefix: PrefixWeights?

  package init(_ sizes: Sizes, _ bound: AttentionBound, _ names: Names, from reader: WeightReader) throws {
    self.sizes = sizes
    self.bound = bound
    func weight(_ name: String, _ heads: Int) throws -> Weight {
      try reader.weight(
        name + ".weight", outputs: heads * sizes.headWidth, inner: sizes.width,
        bias: sizes.hasInputBias ? name + ".bias" : nil)
    }
    func norm(_ name: String, _ heads: Int) throws -> Norm? {
      try sizes.headNorm.map {
        try reader.rootMeanSquareNorm(
          name + ".weight", width: sizes.normsRows ? heads * sizes.headWidth : sizes.headWidth, epsilon: $0,
          offset: sizes.headNormOffset)
      }
    }
    func gated(_ index: Int) throws -> Weight {
      let width = sizes.headWidth
      return try reader.weight(
        names.q + ".weight", outputs: 2 * sizes.heads * width, inner: sizes.width,
        rows: (0..<sizes.heads).map { (2 * $0 + index) * width..<(2 * $0 + index + 1) * width },
        bias: sizes.hasInputBias ? names.q + ".bias" : nil)
    }
    queries = sizes.hasGate ? try gated(0) : try weight(names.q, sizes.heads)
    gate = sizes.hasGate ? try gated(1) : nil
    keys = try weight(names.k, sizes.keyHeads)
    values = try weight(names.v, sizes.keyHeads)
    output = try reader.weight(
      names.output + ".weight", outputs: sizes.width, inner: sizes.heads * sizes.headWidth,
      bias: sizes.hasOutputBias ? names.output + ".bias" : nil)
    (queryNorm, keyNorm) = (try norm(names.qNorm, sizes.heads), try norm(names.kNorm, sizes.keyHeads))
    bias = try DistanceBias(sizes.positions, heads: sizes.heads, length: bound.locals + 1, from: reader)
    prefix = sizes.hasPrefix ? try PrefixWeights(names.prefix, heads: sizes.heads, width: sizes.headWidth, from: reader) : nil
    rule = AttentionRule(
      globals: bound.globals, window: bound.locals, ceiling: bound.locals,
      scale: sizes.scale ?? 1 / Float(sizes.headWidth).squareRoot(), bias: bias?.table, softplus: sizes.softplus)
  }

  private var kept: AttentionCacheShape {
    AttentionCacheShape(
      keyHeads: sizes.keyHeads, headWidth: sizes.headWidth, bound: bound, rule: rule,
      keepsFarKeys: sizes.positions.rotary != nil && bound.globals > 0)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    kept.declare(in: &layout, layer: layer)
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    let q = heads(operations.project(asked, queries), queryNorm, operations)
    let k = operations.scale(heads(operations.project(input, keys), keyNorm, operations), by: sizes.keyScale)
    var operands = operations.turned(
      q: q, k: k, v: operations.project(input, values), position: input.position, sizes.positions, kept)
    operands.prefix = prefix?.of(q, operations)
    let mixed = operations.attention(
      operands, kept.cache(state), rule, biasGradient: bias.map { bias in { bias.gather($0, $1) } })
    guard outputs > 0 else { return residual }
    let read = gate.map { operations.activate(operations.project(asked, $0), .sigmoid, times: mixed) } ?? mixed
    return operations.project(read, output, addingTo: residual)
  }

  /// The norm of each head by itself, or of all at once.
  private func heads(_ x: Matrix, _ norm: Norm?, _ operations: Operations) -> Matrix {
    guard let norm else { return x }
    if sizes.normsRows { return operations.norm(x, norm) }
    return operations.norm(x.reshaped(columns: sizes.headWidth), norm).reshaped(columns: x.columns)
  }

  package var gating: MixerGating { .none }

  package var attends: Bool { true }

  package var contextTokens: Int? { bound.globals + bound.locals }

  package var capacity: StreamCapacity? { kept.capacity }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    kept.referenceState(kept.cache(state), position: state.state.position)
  }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> AttentionMixer {
    var copy = self
    copy.queries = queries.tabulated(rows, kernels: kernels)
    copy.keys = keys.tabulated(rows, kernels: kernels)
    copy.values = values.tabulated(rows, kernels: kernels)
    copy.gate = gate?.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int {
    queries.tableByteCount + keys.tableByteCount + values.tableByteCount + (gate?.tableByteCount ?? 0)
  }

  package var scratchPerToken: Int {
    // Projected, normed and turned rows, angles, mixed rows; the prefix's features and sums; each row padded.
    let (inner, kept) = (sizes.heads * sizes.headWidth, sizes.keyHeads * sizes.headWidth)
    return ((prefix == nil ? 5 : 9) + (gate == nil ? 0 : 2)) * inner + 4 * kept + 3 * sizes.headWidth + 2 * sizes.heads + 16 * 16
  }
}

extension Operations {
  /// The angles of `count` positions from `position` on. What is plain is not multiplied by the magnitude a second time: a key
  /// that was not turned did not get it.
  func angles(_ rotary: Rotary, _ position: Int64, count: Int, isPlain: Bool = false) -> Angles {
    let angles = Angles(
      cosines: arena.matrix(rows: count, columns: rotary.turns.count),
      sines: arena.matrix(rows: count, columns: rotary.turns.count))
    let magnitude = isPlain ? rotary.magnitude * rotary.magnitude : rotary.magnitude
    kernels.angles(rotary.turns, from: position, magnitude: magnitude, into: angles)
    return angles
  }
}
