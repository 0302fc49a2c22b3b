/// What `Naive.linearScan` reads, row-major: `LinearInputs` as arrays, an output for every token.
package struct NaiveLinearInputs<Real: NaiveReal> {
  /// T × (G·R·N) each.
  package var q, k: [Real]
  /// T × (H·R·P)
  package var v: [Real]
  /// T × H, or T × (H·N).
  package var decay: [Real]
  /// T × (G·N) each, or empty.
  package var removal, replacement: [Real]
  /// (H·N) × P, before the first token.
  package var state: [Real]
  package var heads, groups, tokens: Int
  /// R, 1 where something is removed.
  package var rank = 1
  package var readsBefore = false

  package init(
    q: [Real], k: [Real], v: [Real], decay: [Real], removal: [Real] = [], replacement: [Real] = [], state: [Real],
    heads: Int, groups: Int, tokens: Int, rank: Int = 1, readsBefore: Bool = false
  ) {
    (self.q, self.k, self.v, self.decay) = (q, k, v, decay)
    (self.removal, self.replacement, self.state) = (removal, replacement, state)
    (self.heads, self.groups, self.tokens) = (heads, groups, tokens)
    (self.rank, self.readsBefore) = (rank, readsBefore)
  }

  /// What a scan reads, as numbers of another type; q of the first tokens, which nobody reads, is zero.
  package init(_ inputs: LinearInputs, state: [Real]) {
    func numbers(_ matrix: Matrix?) -> [Real] { matrix?.array().map { Real($0) } ?? [] }
    var replacement = numbers(inputs.replacement)
    if let strength = inputs.strength {
      let (strengths, size) = (numbers(strength), inputs.stateSize)
      replacement = numbers(inputs.k).enumerated().map { strengths[$0 / size] * $1 }
    }
    let unread = [Real](repeating: 0, count: (inputs.tokens - inputs.q.rows) * inputs.q.columns)
    self.init(
      q: unread + numbers(inputs.q), k: numbers(inputs.k), v: numbers(inputs.v), decay: numbers(inputs.decay),
      removal: numbers(inputs.removal), replacement: replacement, state: state, heads: inputs.heads, groups: inputs.groups,
      tokens: inputs.tokens, rank: inputs.rank, readsBefore: inputs.readsBefore)
  }

  var size: Int { k.count / (tokens * groups * rank) }
  var width: Int { v.count / (tokens * heads * rank) }
  var decays: Int { decay.count / (tokens * heads) }
  /// Where the slices of a head's token begin in k and q, and in v and y.
  func slices(_ token: Int, _ head: Int) -> [(key: Int, value: Int)] {
    let group = token * groups + head / (heads / groups)
    return (0..<rank).map { (key: (group * rank + $0) * size, value: ((token * heads + head) * rank + $0) * width) }
  }
}

/// The gradients of a loss in the shapes of `NaiveLinearInputs`.
package struct NaiveLinearGradients<Real: NaiveReal> {
  package var q, k, v, decay, removal, replacement, state: [Real]
}

extension Naive {
  /// The linear recurrence, token by token: U = exp(decay)·S, S = U + replacement ⊗ (removal·U) + Σ_r k[r] ⊗ v[r],
  /// y[r] = q[r]·S.
  ///
  /// Returns y (T × (H·R·P)), and the state after each token.
  @specialized(where Real == Double)
  package static func linearScan<Real: NaiveReal>(_ inputs: NaiveLinearInputs<Real>) -> (y: [Real], states: [[Real]]) {
    guard inputs.tokens > 0 else { return ([], []) }
    let (size, width, decays) = (inputs.size, inputs.width, inputs.decays)
    var y = [Real](repeating: 0, count: inputs.v.count)
    var state = inputs.state
    var states: [[Real]] = []
    for t in 0..<inputs.tokens {
      for h in 0..<inputs.heads {
        let group = t * inputs.groups + h / (inputs.heads / inputs.groups)
        let slices = inputs.slices(t, h)
        for p in 0..<width {
          func at(_ n: Int) -> Int { (h * size + n) * width + p }
          func read() {
            for slice in slices {
              y[slice.value + p] = (0..<size).reduce(0) { $0 + inputs.q[slice.key + $1] * state[at($1)] }
            }
          }
          if inputs.readsBefore { read() }
          for n in 0..<size {
            state[at(n)] *= Real.exponential(inputs.decay[(t * inputs.heads + h) * decays + (decays == 1 ? 0 : n)])
          }
          var removed: Real = 0
          if !inputs.removal.isEmpty { for n in 0..<size { removed += inputs.removal[group * size + n] * state[at(n)] } }
          for n in 0..<size {
            if !inputs.removal.isEmpty { state[at(n)] += inputs.replacement[group * size + n] * removed }
            for slice in slices { state[at(n)] += inputs.k[slice.key + n] * inputs.v[slice.value + p] }
          }
          if !inputs.readsBefore { read() }
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
        let group = t * inputs.groups + h / (inputs.heads / inputs.groups)
        let slices = inputs.slices(t, h)
        let key = group * size
        for p in 0..<width {
          func at(_ n: Int) -> Int { (h * size + n) * width + p }
          func decay(_ n: Int) -> Int { (t * inputs.heads + h) * decays + (decays == 1 ? 0 : n) }
          func decayed(_ n: Int) -> Real { Real.exponential(inputs.decay[decay(n)]) * before[at(n)] }
          func read(_ state: [Real]) {
            for slice in slices {
              let d = dy[slice.value + p]
              for n in 0..<size {
                result.q[slice.key + n] += d * state[at(n)]
                result.state[at(n)] += d * inputs.q[slice.key + n]
              }
            }
          }
          if !inputs.readsBefore { read(states[t]) }
          let removed = removes ? (0..<size).reduce(0) { $0 + inputs.removal[key + $1] * decayed($1) } : 0
          var dremoved: Real = 0
          for n in 0..<size {
            let d = result.state[at(n)]
            for slice in slices {
              result.k[slice.key + n] += d * inputs.v[slice.value + p]
              result.v[slice.value + p] += d * inputs.k[slice.key + n]
            }
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
          }
          if inputs.readsBefore { read(before) }
        }
      }
    }
    return result
  }
}
