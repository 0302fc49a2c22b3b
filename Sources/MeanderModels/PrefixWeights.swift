import MeanderErrors
import MeanderKernels

/// An infinitely long prefix as d² + d numbers a head (NTK-attention, 2024): with φ(x) = ELU(x / d^¼) + 1, a query adds
/// φ(q)·Z to the sum of weighted values and φ(q)·|k'| to that of the weights. The query is the one before turning: a prefix
/// has no position.
struct PrefixWeights: Sendable {
  /// Per head, Zᵀ: P × P.
  let values: [Weight]
  /// |k'|, H × P, and in training the parameter.
  let keys: Matrix
  let source: Matrix
  let width: Int

  /// `prefix`.values (H·P × P, a head's Zᵀ after another) and `prefix`.keys (H × P).
  init(_ prefix: String, heads: Int, width: Int, from reader: WeightReader) throws {
    self.width = width
    values = try (0..<heads).map {
      try reader.weight(
        prefix + ".values", outputs: heads * width, inner: width, rows: [$0 * width..<($0 + 1) * width])
    }
    source = try reader.matrix(prefix + ".keys", rows: heads, columns: width)
    keys = Matrix(source.array().map(abs), rows: heads, columns: width)
  }

  /// What it adds for queries q, T × H·P.
  func of(_ q: Matrix, _ operations: Operations) -> AttentionPrefix {
    let heads = values.count
    let scaled = operations.scaled(q, by: 1 / Float(width).squareRoot().squareRoot())
    let features = operations.activate(scaled, .eluPlusOne)
    let result = AttentionPrefix(
      values: operations.arena.matrix(rows: q.rows, columns: q.columns),
      weights: operations.arena.matrix(rows: q.rows, columns: heads))
    for head in 0..<heads {
      let own = features.columns(head * width..<(head + 1) * width)
      operations.project(own, values[head], into: result.values.columns(head * width..<(head + 1) * width))
      let (keys, weights) = (keys.rows(head..<head + 1), result.weights.columns(head..<head + 1))
      operations.kernels.multiply(own.plain, keys.turned, into: weights)
      guard let tape = operations.tape else { continue }
      let (kernels, gradients, source) = (operations.kernels, tape.gradients, source.rows(head..<head + 1))
      tape.record {
        let dweights = gradients.of(weights)
        kernels.multiply(dweights.plain, keys.plain, into: gradients.of(own), adding: true)
        guard let dsource = gradients.wanted(source) else { return }
        let dkeys = Matrix(rows: 1, columns: source.columns)
        kernels.multiply(dweights.turned, own.plain, into: dkeys)
        for place in 0..<source.columns { dsource[0, place] += source[0, place] < 0 ? -dkeys[0, place] : dkeys[0, place] }
      }
    }
    return result
  }
}
