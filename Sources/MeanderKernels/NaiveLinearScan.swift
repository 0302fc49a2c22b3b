/// What `Naive.linearScan` reads, row-major: `LinearInputs` as arrays, an output for every token.
package struct NaiveLinearInputs<Real: NaiveReal> {
  /// T × (G·N) each.
  package var q, k: [Real]
  /// T × (H·P)
  package var v: [Real]
  /// T × H, or T × (H·N).
  package var decay: [Real]
  /// T × (G·N) each, or empty.
  package var removal, replacement: [Real]
  /// (H·N) × P, before the first token.
  package var state: [Real]
  package var heads, groups, tokens: Int
  package var readsBefore = false

  package init(
    q: [Real], k: [Real], v: [Real], decay: [Real], removal: [Real] = [], replacement: [Real] = [], state: [Real],
    heads: Int, groups: Int, tokens: Int, readsBefore: Bool = false
  ) {
    (self.q, self.k, self.v, self.decay) = (q, k, v, decay)
    (self.removal, self.replacement, self.state) = (removal, replacement, state)
    (self.heads, self.groups, self.tokens, self.readsBefore) = (heads, groups, tokens, readsBefore)
  }

  var size: Int { k.count / (tokens * groups) }
  var width: Int { v.count / (tokens * heads) }
  var decays: Int { decay.count / (tokens * heads) }
}

/// The gradients of a loss in the shapes of `NaiveLinearInputs`.
package struct NaiveLinearGradients<Real: NaiveReal> {
  package var q, k, v, decay, removal, replacement, state: [Real]
}

extension Naive {
  /// The linear recurrence, token by token: U = exp(decay)·S, S = U + replacement ⊗ (removal·U) + k ⊗ v, y = q·S.
  ///
  /// Returns y (T × (H·P)), and the state after each token.
  @specialized(where Real == Double)
  package static func linearScan<Real: NaiveReal>(_ inputs: NaiveLinearInputs<Real>) -> (y: [Real], states: [[Real]]) {
    guard inputs.tokens > 0 else { return ([], []) }
    let (size, width, decays) = (inputs.size, inputs.width, inputs.decays)
    var y = [Real](repeating: 0, count: inputs.v.count)
    var state = inputs.state
    var states: [[Real]] = []
    for t in 0..<inputs.tokens {
      for h in 0..<inputs.heads {
        let key = (t * inputs.groups + h / (inputs.heads / inputs.groups)) * size
        for p in 0..<width {
          let output = (t * inputs.heads + h) * width + p
          func at(_ n: Int) -> Int { (h * size + n) * width + p }
          func read() -> Real { (0..<size).reduce(0) { $0 + inputs.q[key + $1] * state[at($1)] } }
          if inputs.readsBefore { y[output] = read() }
          for n in 0..<size {
            state[at(n)] *= Real.exponential(inputs.decay[(t * inputs.heads + h) * decays + (decays == 1 ? 0 : n)])
          }
          var removed: Real = 0
          if !inputs.removal.isEmpty { for n in 0..<size { removed += inputs.removal[key + n] * state[at(n)] } }
          for n in 0..<size {
            if !inputs.removal.isEmpty { state[at(n)] += inputs.replacement[key + n] * removed }
            state[at(n)] += inputs.k[key + n] * inputs.v[output]
          }
          if !inputs.readsBefore { y[output] = read() }
        }
      }
      states.append(state)
    }
    return (y, states)
  }

  /// The way back of `linearScan`, from the gradients of its outputs and of the state after the last token.
  @specialized(where Real == Double)
  package static func linearScanBackward<Real: NaiveReal>(
    _ inputs: NaiveLinearInputs<Real>, outputs dy: [Real], finalState: [Real]
  ) -> NaiveLinearGradients<Real> {
    func zeros(_ count: Int) -> [Real] { [Real](repeating: 0, count: count) }
    var result = NaiveLinearGradients(
      q: zeros(inputs.q.count), k: zeros(inputs.k.count), v: zeros(inputs.v.count), decay: zeros(inputs.decay.count),
      removal: zeros(inputs.removal.count), replacement: zeros(inputs.replacement.count), state: finalState)
    let states = linearScan(inputs).states
    let (size, width, decays) = (inputs.size, inputs.width, inputs.decays)
    let removes = !inputs.removal.isEmpty
    for t in (0..<inputs.tokens).reversed() {
      let before = t == 0 ? inputs.state : states[t - 1]
      for h in 0..<inputs.heads {
        let key = (t * inputs.groups + h / (inputs.heads / inputs.groups)) * size
        for p in 0..<width {
          let output = (t * inputs.heads + h) * width + p
          func at(_ n: Int) -> Int { (h * size + n) * width + p }
          func decay(_ n: Int) -> Int { (t * inputs.heads + h) * decays + (decays == 1 ? 0 : n) }
          func decayed(_ n: Int) -> Real { Real.exponential(inputs.decay[decay(n)]) * before[at(n)] }
          if !inputs.readsBefore {
            for n in 0..<size {
              result.q[key + n] += dy[output] * states[t][at(n)]
              result.state[at(n)] += dy[output] * inputs.q[key + n]
            }
          }
          let removed = removes ? (0..<size).reduce(0) { $0 + inputs.removal[key + $1] * decayed($1) } : 0
          var dremoved: Real = 0
          for n in 0..<size {
            let d = result.state[at(n)]
            result.k[key + n] += d * inputs.v[output]
            result.v[output] += d * inputs.k[key + n]
            guard removes else { continue }
            result.replacement[key + n] += d * removed
            dremoved += d * inputs.replacement[key + n]
          }
          for n in 0..<size {
            if removes {
              result.removal[key + n] += dremoved * decayed(n)
              result.state[at(n)] += dremoved * inputs.removal[key + n]
            }
            result.decay[decay(n)] += result.state[at(n)] * decayed(n)
            result.state[at(n)] *= Real.exponential(inputs.decay[decay(n)])
            guard inputs.readsBefore else { continue }
            result.q[key + n] += dy[output] * before[at(n)]
            result.state[at(n)] += dy[output] * inputs.q[key + n]
          }
        }
      }
    }
    return result
  }
}
