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
    func norm(_ name: String) throws -> Norm? {
      try sizes.headNorm.map { try reader.rootMeanSquareNorm(name + ".weight", width: sizes.headWidth, epsilon: $0) }
    }
    queries = try weight(names.q, sizes.heads)
    keys = try weight(names.k, sizes.keyHeads)
    values = try weight(names.v, sizes.keyHeads)
    output = try reader.weight(
      names.output + ".weight", outputs: sizes.width, inner: sizes.heads * sizes.headWidth,
      bias: sizes.hasOutputBias ? names.output + ".bias" : nil)
    (queryNorm, keyNorm) = (try norm(names.qNorm), try norm(names.kNorm))
    bias = try DistanceBias(sizes.positions, heads: sizes.heads, length: bound.locals + 1, from: reader)
    prefix = sizes.hasPrefix ? try PrefixWeights(names.prefix, heads: sizes.heads, width: sizes.headWidth, from: reader) : nil
    rule = AttentionRule(
      globals: bound.globals, window: bound.locals, ceiling: bound.locals,
      scale: sizes.scale ?? 1 / Float(sizes.headWidth).squareRoot(), bias: bias?.table, softplus: sizes.softplus)
  }

  /// Global tokens' keys are kept as they were before turning, too, so that distances can be capped.
  private var keepsFarKeys: Bool { sizes.positions.rotary != nil && bound.globals > 0 }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    let slots = rule.globalSlots + bound.ring
    let (heads, width) = (sizes.keyHeads, sizes.headWidth)
    // What a slot means depends on the bound, and a snapshot taken under another one must not pass for this one's.
    let suffix = bound.capacity == nil ? "_\(bound.globals)_\(bound.locals)" : ""
    var regions = [
      layout.append("\(layer).keys\(suffix)", .f32, [heads, slots / 16, width, 16]),
      layout.append("\(layer).values\(suffix)", .f32, [heads, slots, (width + 15) / 16 * 16]),
    ]
    if keepsFarKeys {
      regions.append(layout.append("\(layer).far_keys\(suffix)", .f32, [heads, rule.globalSlots / 16, width, 16]))
    }
    return regions
  }

  private func cache(_ state: MixerState) -> AttentionCache {
    AttentionCache(
      keys: state.matrix(0), values: state.matrix(1), farKeys: keepsFarKeys ? state.matrix(2) : nil,
      keyHeads: sizes.keyHeads, headWidth: sizes.headWidth, rule: rule)
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    let q = heads(operations.project(asked, queries), queryNorm, operations)
    let k = heads(operations.project(input, keys), keyNorm, operations)
    var operands = AttentionOperands(
      q: q, farQ: nil, k: k, plainK: k, v: operations.project(input, values), position: input.position)
    if let rotary = sizes.positions.rotary {
      let width = sizes.headWidth
      let turned = operations.rotate(k, by: operations.angles(rotary, input.position, count: input.count), headWidth: width)
      let near = operations.rotate(q, by: operations.angles(rotary, asked.position, count: outputs), headWidth: width)
      var far: Matrix?
      if keepsFarKeys, input.position + Int64(input.count) > Int64(rule.ceiling) {
        let ceiling = operations.angles(rotary, Int64(rule.ceiling), count: 1, isPlain: true)
        far = operations.rotate(q, by: ceiling, headWidth: width)
      }
      operands = AttentionOperands(q: near, farQ: far, k: turned, plainK: k, v: operands.v, position: input.position)
    }
    operands.prefix = prefix?.of(q, operations)
    let mixed = operations.attention(operands, cache(state), rule, biasGradient: bias.map { bias in { bias.gather($0, $1) } })
    guard outputs > 0 else { return residual }
    return operations.project(mixed, output, addingTo: residual)
  }

  /// The norm of each head by itself.
  private func heads(_ x: Matrix, _ norm: Norm?, _ operations: Operations) -> Matrix {
    guard let norm else { return x }
    return operations.norm(x.reshaped(columns: sizes.headWidth), norm).reshaped(columns: x.columns)
  }

  package var gating: MixerGating { .none }

  package var contextTokens: Int? { bound.globals + bound.locals }

  package var capacity: StreamCapacity? {
    bound.capacity.map {
      StreamCapacity(
        tokens: $0, what: "the full cache of attention", remedy: "Give it more bytes, or keep a bounded context.")
    }
  }

  /// k and v, KV × tokens × P, keys turned: what a cache of the last tokens holds, those of a window of its own but for the oldest,
  /// which the next token no longer sees.
  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let position = state.state.position
    let kept = min(position, Int64(bound.locals - 1 + (rule.globals > 0 ? 1 : 0)))
    let first = min(Int64(rule.globals), position - kept)
    let positions = Array(0..<first) + Array((position - kept)..<position)
    let (cache, width) = (cache(state), sizes.headWidth)
    let (key, value) = (Matrix(rows: 1, columns: sizes.keyHeads * width), Matrix(rows: 1, columns: sizes.keyHeads * width))
    var rows: [(k: [Float], v: [Float])] = []
    for p in positions {
      cache.read(cache.slot(p, globals: rule.globals), key: key, value: value)
      rows.append((key.array(), value.array()))
    }
    func tensor(_ name: String, _ row: ((k: [Float], v: [Float])) -> [Float]) -> ReferenceTensor {
      let values = (0..<sizes.keyHeads).flatMap { head in rows.flatMap { row($0)[head * width..<(head + 1) * width] } }
      return ReferenceTensor(name: name, shape: [sizes.keyHeads, rows.count, width], values: values)
    }
    return [tensor("k") { $0.k }, tensor("v") { $0.v }]
  }

  package func tabulated(_ rows: Matrix, kernels: Kernels) -> AttentionMixer {
    var copy = self
    copy.queries = queries.tabulated(rows, kernels: kernels)
    copy.keys = keys.tabulated(rows, kernels: kernels)
    copy.values = values.tabulated(rows, kernels: kernels)
    return copy
  }

  package var tableByteCount: Int { queries.tableByteCount + keys.tableByteCount + values.tableByteCount }

  package var scratchPerToken: Int {
    // Projected, normed and turned rows, angles, mixed rows; the prefix's features and sums; each row padded.
    let (inner, kept) = (sizes.heads * sizes.headWidth, sizes.keyHeads * sizes.headWidth)
    return (prefix == nil ? 5 : 9) * inner + 4 * kept + 3 * sizes.headWidth + 2 * sizes.heads + 16 * 16
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
