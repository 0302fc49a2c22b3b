/// The tokens still in the running, each one key: the likelier token has the smaller key, and of two equally
/// likely ones that of the lower id.
package struct Candidates: Sendable {
  private var ranked: RankedKeys
  /// The model's vocabulary size V, however few candidates are left.
  let vocabularySize: Int
  /// Divides the logits in the weights and so in the draw.
  var temperature = 1.0
  private var scale: Double { min(1 / temperature, 1e300) }

  /// Candidates for every logit [V] but those of negative infinity.
  init(_ logits: [Float]) {
    var keys = [UInt64](repeating: 0, count: logits.count)
    var largest: UInt64 = 0
    for i in logits.indices {
      keys[i] = Candidates.key(logits[i], UInt32(truncatingIfNeeded: i))
      largest = max(largest, keys[i])
    }
    ranked = RankedKeys(keys)
    vocabularySize = logits.count
    let leastLikely = Candidates.key(-.greatestFiniteMagnitude, .max)
    if largest > leastLikely { ranked.keep(through: leastLikely) }
  }

  package var count: Int { ranked.count }
  /// The largest logit. O(1) once anything is sorted, else O(count).
  package var maximum: Double {
    Double(Candidates.logit(ranked.sortedCount > 0 ? ranked.keys[0] : ranked.keys.min() ?? 0))
  }

  /// Brings the first candidates into order of likelihood.
  mutating func sort(first count: Int) { ranked.sort(first: count) }
  mutating func keep(first count: Int) { ranked.keep(first: count) }
  mutating func drop(first count: Int) { ranked.drop(first: count) }
  /// Keeps the candidates whose logit is at least `bound`, in their present order.
  mutating func keep(atLeast bound: Float) { ranked.keep(through: Candidates.key(bound, .max)) }
  /// Keeps the candidates at `positions`.
  mutating func keep(positions: [Int]) { ranked = RankedKeys(positions.map { ranked.keys[$0] }) }

  package func id(_ position: Int) -> Int32 { Int32(truncatingIfNeeded: ranked.keys[position]) }
  func logit(_ position: Int) -> Float { Candidates.logit(ranked.keys[position]) }

  /// e^((logit - maximum) / temperature) of one candidate.
  func weight(_ position: Int, maximum: Double) -> Double {
    Softmax.exponential((Double(logit(position)) - maximum) * scale)
  }

  /// The same for all of them.
  package func weights(maximum: Double) -> [Double] {
    var weights = [Double](repeating: 0, count: count)
    let keys = ranked.keys
    Softmax.fill(&weights, count: count, maximum: maximum, scale: scale) { Candidates.logit(keys[$0]) }
    return weights
  }

  /// The sum of all weights.
  func totalWeight(maximum: Double) -> Double {
    let keys = ranked.keys
    return Softmax.total(count: keys.count, maximum: maximum, scale: scale) { Candidates.logit(keys[$0]) }
  }

  /// The bits of a float in an order-preserving form, complemented so that large logits come first, above the
  /// id.
  @inline(__always)
  private static func key(_ logit: Float, _ id: UInt32) -> UInt64 {
    let bits = (logit + 0).bitPattern
    let ascending = bits >> 31 == 1 ? ~bits : bits | 0x8000_0000
    return UInt64(~ascending) << 32 | UInt64(id)
  }

  @inline(__always)
  private static func logit(_ key: UInt64) -> Float {
    let ascending = ~UInt32(truncatingIfNeeded: key >> 32)
    return Float(bitPattern: ascending >> 31 == 1 ? ascending & 0x7FFF_FFFF : ~ascending)
  }
}
