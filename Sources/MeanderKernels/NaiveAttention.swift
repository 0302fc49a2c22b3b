import Glibc

extension Naive {
  /// One query over what it sees: Σ weight·value, as the paper writes it.
  ///
  /// - Parameters:
  ///   - scores: a number for each key, biased and scaled but for softplus's own scale.
  ///   - values: as many lists of P.
  ///   - prefix: what an endless prefix adds to the sum of values, and to that of weights.
  package static func attend<Real: NaiveReal>(
    _ scores: [Real], _ values: [[Real]], softplus: SoftplusRule? = nil, prefix: (values: [Real], weight: Real)? = nil
  ) -> [Real] {
    let (weights, lift) = attentionWeights(scores, softplus: softplus, prefixWeight: prefix?.weight)
    var sums = prefix?.values.map { lift * $0 } ?? [Real](repeating: 0, count: values.first?.count ?? 0)
    for (weight, value) in zip(weights, values) {
      for place in sums.indices { sums[place] += weight * value[place] }
    }
    return sums
  }

  /// What a query gives to each key, and the factor on an endless prefix: with what that takes, they add up to one.
  package static func attentionWeights<Real: NaiveReal>(
    _ scores: [Real], softplus: SoftplusRule?, prefixWeight: Real?
  ) -> (weights: [Real], lift: Real) {
    var weights: [Real]
    var lift: Real = 0
    if let softplus {
      let count = Real(scores.count)
      weights = scores.map { Naive.softplus($0) }
      let all = weights.reduce(0, +)
      let raised = weights.map { weight -> Real in
        let out = count * weight / all - Real(softplus.offset)
        return out > 0 ? (0..<softplus.power).reduce(1) { power, _ in power * out } : 0
      }
      if softplus.power > 0, raised.contains(where: { $0 > 0 }) { weights = raised }
    } else {
      let largest = scores.max() ?? 0
      let top = prefixWeight == nil ? largest : max(largest, 0)
      weights = scores.map { Real.exponential($0 - top) }
      if prefixWeight != nil { lift = Real.exponential(-top) }
    }
    let total = weights.reduce(lift * (prefixWeight ?? 0), +)
    return (weights.map { $0 / total }, lift / total)
  }

  /// Attention over a whole stream from its first token on. q: T × H·P; k, v: T × KV·P, none of them turned. y: T × H·P.
  ///
  /// - Parameters:
  ///   - turns: per pair of places, how much of a turn a position is; empty without rotary positions.
  ///   - magnitude: what both a query and a key are multiplied with where they are turned.
  ///   - prefix: per token and head, T × H each, P numbers and one.
  package static func attention<Real: NaiveReal>(
    q: [Real], k: [Real], v: [Real], heads: Int, keyHeads: Int, headWidth: Int, rule: AttentionRule, turns: [Double] = [],
    magnitude: Double = 1, prefix: (values: [Real], weights: [Real])? = nil
  ) -> [Real] {
    let tokens = k.count / (keyHeads * headWidth)
    var result: [Real] = []
    for t in 0..<tokens {
      let seen = (0...t).filter { $0 < rule.globals || $0 > t - rule.window }
      for head in 0..<heads {
        let query = Array(q[(t * heads + head) * headWidth..<(t * heads + head + 1) * headWidth])
        let keyHead = head / (heads / keyHeads)
        var scale = Real(rule.scale)
        if let softplus = rule.softplus { scale *= Real(softplus.logWidth) * Real.logarithmOnePlus(Real(seen.count - 1)) }
        func row(_ numbers: [Real], _ p: Int) -> [Real] {
          Array(numbers[(p * keyHeads + keyHead) * headWidth..<(p * keyHeads + keyHead + 1) * headWidth])
        }
        let scores = seen.map { p -> Real in
          let distance = min(t - p, rule.ceiling)
          // What counts is how far a query is turned beyond a key.
          let turned = turn(query, by: distance, turns, magnitude)
          let key = turn(row(k, p), by: 0, turns, magnitude)
          let place = AttentionRule.biasPlace(min(distance, rule.biasLength - 1), of: rule.biasLength)
          let bias = rule.bias.map { Real($0[head, place]) }
          return zip(turned, key).reduce(0) { $0 + $1.0 * $1.1 } * scale + (bias ?? 0)
        }
        let own = prefix.map {
          (values: Array($0.values[(t * heads + head) * headWidth..<(t * heads + head + 1) * headWidth]),
           weight: $0.weights[t * heads + head])
        }
        result += attend(scores, seen.map { row(v, $0) }, softplus: rule.softplus, prefix: own)
      }
    }
    return result
  }

  /// A head's numbers turned by `distance` positions.
  private static func turn<Real: NaiveReal>(_ x: [Real], by distance: Int, _ turns: [Double], _ magnitude: Double) -> [Real] {
    var y = x
    for (pair, turn) in turns.enumerated() {
      let angle = 2 * Double.pi * (Double(distance) * turn).truncatingRemainder(dividingBy: 1)
      let (cosine, sine) = (Real(magnitude * cos(angle)), Real(magnitude * sin(angle)))
      let other = pair + turns.count
      y[pair] = x[pair] * cosine - x[other] * sine
      y[other] = x[other] * cosine + x[pair] * sine
    }
    return y
  }
}
