import MeanderErrors
import MeanderFiles
import MeanderKernels

/// HGRN2 (Qin and others 2024), in the layout of flash-linear-attention.
package struct HGRN2: LinearArchitecture {
  package static let name = "hgrn2"

  let stack: LinearStack
  private let mixer: ExpandedGateMixer.Sizes
  private let hasLowerBounds: Bool

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.members(name) + [
      ("intermediate_size", JSON(2 * shape.width)), ("tie_word_embeddings", .bool(true)),
      ("expand_ratio", JSON(shape.stateSize)),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    stack = try LinearStack(&configuration)
    let width = stack.shape.width
    // N is given, or how many heads share the width; both may be, and N counts.
    let heads = try configuration.optionalInteger("num_heads", in: 1...1 << 16)
    let size = try configuration.integer("expand_ratio", heads.map { width / $0 } ?? 128, in: 1...1 << 16)
    guard width % size == 0 else { throw configuration.failure("expand_ratio", "is \(size), which does not divide \(width)") }
    mixer = ExpandedGateMixer.Sizes(width: width, heads: width / size, epsilon: stack.epsilon)
    hasLowerBounds = try configuration.bool("use_lower_bound", true)
    configuration.ignore(["conv_size"])
  }

  package var arithmetic: String { "\(stack.arithmetic) heads \(mixer.heads) bounds \(hasLowerBounds)" }

  package func build(from reader: WeightReader) throws -> Blocks {
    let width = stack.shape.width
    let bounds = hasLowerBounds
      ? try reader.matrix("model.lower_bounds", rows: shape.layers, columns: width) : nil
    return try stack.build(from: reader) { layer, prefix in
      // The first layer's bound is zero.
      let bound = layer == 0 ? nil : bounds.map { GateBound($0, layer: layer) }
      return try ExpandedGateMixer(mixer, bound: bound, prefix: prefix, from: reader)
    }
  }
}

/// HGRN2's gated recurrence with its state expanded by an outer product (Qin and others 2024): what a key does not keep, it
/// takes in.
///
///     q = silu(W_q u) / √N,   v = W_i u,   f = lb + (1 - lb) σ(W_f u),   lb the layer's lower bounds
///     S = diag(f) S + (1 - f) ⊗ v,   y = q S
///     out = W_out norm(y),   a norm of the whole row
struct ExpandedGateMixer: LinearMixer {
  struct Sizes: Sendable {
    /// D
    var width: Int
    /// H
    var heads: Int
    /// ε of the norm of y.
    var epsilon: Float

    /// N, and P.
    var size: Int { width / heads }
  }

  let sizes: Sizes
  let bound: GateBound?
  let query, forget, value, out: Weight
  let norm: Norm

  /// Reads the layer whose tensors are called `prefix`q_proj.weight and so on.
  init(_ sizes: Sizes, bound: GateBound?, prefix: String, from reader: WeightReader) throws {
    (self.sizes, self.bound) = (sizes, bound)
    func square(_ name: String) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: sizes.width, inner: sizes.width)
    }
    (query, forget) = (try square("q_proj"), try square("f_proj"))
    (value, out) = (try square("i_proj"), try square("o_proj"))
    norm = try reader.rootMeanSquareNorm(prefix + "g_norm.weight", width: sizes.width, epsilon: sizes.epsilon)
  }

  var memory: LinearState {
    LinearState(heads: sizes.heads, size: sizes.size, width: sizes.size, decays: sizes.size, first: 0)
  }

  func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let asked = input.suffix(outputs)
    let gates = gates(operations.scale(operations.project(input, forget), by: -1), operations)
    let q = operations.scale(
      operations.activate(operations.project(asked, query), .silu), by: 1 / Float(sizes.size).squareRoot())
    let read = memory.scan(
      LinearInputs(q: q, k: gates.key, v: operations.project(input, value), decay: gates.decay, heads: sizes.heads), state,
      operations)
    guard outputs > 0 else { return residual }
    return operations.project(operations.norm(read, norm), out, addingTo: residual)
  }

  /// ln f and 1 - f from -W_f u, which keep their digits where f is nearly one: with lb = exp(b),
  /// ln f = softplus(b - W_f u) - softplus(-W_f u) and 1 - f = (1 - lb) σ(-W_f u).
  private func gates(_ negative: Matrix, _ operations: Operations) -> (decay: Matrix, key: Matrix) {
    let open = operations.activate(negative, .sigmoid)
    let forgotten = operations.scaled(operations.softplus(negative, bias: nil), by: -1)
    guard let bound else { return (forgotten, open) }
    let rows = bound.rows(operations)
    return (
      operations.add(operations.softplus(negative, bias: rows.logarithm), to: forgotten),
      operations.multiply(open, by: rows.rest)
    )
  }

  var exchangeReason: String { "its keys decay each by itself, and it has no time step" }

  var scratchPerToken: Int { 20 * (sizes.width + 16) + memory.scratch(removes: false) + 4 * sizes.width }
}

/// The lower bounds of a layer's forget gates: the running sum, over the layers after the first, of the softmax over all
/// layers of what was learned, each channel by itself.
struct GateBound: Sendable {
  /// L × D
  private let learned: Matrix
  private let layer: Int
  /// ln lb and 1 - lb, 1 × D each.
  private let logarithm, rest: Matrix

  init(_ learned: Matrix, layer: Int) {
    (self.learned, self.layer) = (learned, layer)
    let bounds = (0..<learned.columns).map { Self.shares(learned, $0)[1...layer].reduce(0, +) }
    logarithm = Matrix(bounds.map { Float(MeanderKernels.logarithm($0)) }, rows: 1, columns: bounds.count)
    rest = Matrix(bounds.map { Float(1 - $0) }, rows: 1, columns: bounds.count)
  }

  /// The rows as a mixer reads them; with a tape, gradients find their way back to what was learned.
  func rows(_ operations: Operations) -> (logarithm: Matrix, rest: Matrix) {
    guard operations.tape != nil else { return (logarithm, rest) }
    func copy(_ row: Matrix) -> Matrix {
      let copy = operations.arena.matrix(rows: 1, columns: row.columns)
      copy.copy(from: row)
      return copy
    }
    let own = (copy(logarithm), copy(rest))
    let (learned, layer) = (learned, layer)
    operations.record(own.0) { dlogarithm, gradients, _ in
      guard let dlearned = gradients.wanted(learned) else { return }
      let drest = gradients.of(own.1)
      for channel in 0..<learned.columns {
        let shares = Self.shares(learned, channel)
        let bound = shares[1...layer].reduce(0, +)
        let dbound = Double(dlogarithm[0, channel]) / bound - Double(drest[0, channel])
        for other in shares.indices {
          let own = (1...layer).contains(other) ? 1.0 : 0
          dlearned[other, channel] += Float(dbound * shares[other] * (own - bound))
        }
      }
    }
    return own
  }

  /// The softmax over the layers of one channel.
  private static func shares(_ learned: Matrix, _ channel: Int) -> [Double] {
    let column = (0..<learned.rows).map { Double(learned[$0, channel]) }
    let largest = column.max() ?? 0
    let powers = column.map { exponential($0 - largest) }
    let sum = powers.reduce(0, +)
    return powers.map { $0 / sum }
  }
}
