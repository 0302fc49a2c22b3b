import MeanderErrors
import MeanderFiles
import MeanderKernels

/// How a router shares tokens out over experts.
package struct ExpertRouter: Sendable {
  package enum Scores: Sendable, Equatable {
    /// Softmax over all experts.
    case softmax
    /// σ of each, to which a bias is added for the choice alone.
    case sigmoid
  }

  package var scores = Scores.softmax
  /// How many experts see a token.
  package var perToken: Int
  /// Whether the scores of those chosen are divided by their sum.
  package var isNormalised = true
  /// What the shares are multiplied with.
  package var scale: Float = 1
  /// Groups of experts, and how many of them may be chosen from: those whose best two scores have the largest sum.
  package var groups = 1
  package var chosenGroups = 1

  package init(perToken: Int) { self.perToken = perToken }

  /// The experts of one token, in ascending order, by scores with their bias. Of equal scores the first expert is taken.
  func choice(_ scores: [Double]) -> [Int] {
    func best(_ indices: [Int], _ count: Int, _ value: (Int) -> Double) -> [Int] {
      Array(indices.sorted { value($0) == value($1) ? $0 < $1 : value($0) > value($1) }.prefix(count))
    }
    var candidates = Array(scores.indices)
    if groups > chosenGroups {
      let size = scores.count / groups
      let sums = (0..<groups).map { group in
        scores[group * size..<(group + 1) * size].sorted(by: >).prefix(2).reduce(0, +)
      }
      let open = Set(best(Array(0..<groups), chosenGroups) { sums[$0] })
      candidates = candidates.filter { open.contains($0 / size) }
    }
    return best(candidates, perToken) { scores[$0] }.sorted()
  }

  /// The score of every expert, before any bias.
  func all(_ logits: [Float]) -> [Double] {
    switch scores {
    case .sigmoid: return logits.map { 1 / (1 + exponential(-Double($0))) }
    case .softmax:
      let largest = Double(logits.max() ?? 0)
      let powers = logits.map { exponential(Double($0) - largest) }
      let sum = powers.reduce(0, +)
      return powers.map { $0 / sum }
    }
  }

  /// The gradient of one token's logits from that of its shares: `scores` of all experts, `chosen` and their gradients.
  func backward(_ scores: [Double], chosen: [Int], _ dshares: [Double]) -> [Double] {
    let factor = Double(scale)
    var dscores = [Double](repeating: 0, count: scores.count)
    let sum = isNormalised ? chosen.reduce(0) { $0 + scores[$1] } + 1e-20 : 1
    let pull = isNormalised ? zip(chosen, dshares).reduce(0) { $0 + $1.1 * scores[$1.0] / sum } : 0
    for (expert, d) in zip(chosen, dshares) { dscores[expert] = factor * (d - pull) / sum }
    switch self.scores {
    case .sigmoid: return scores.indices.map { dscores[$0] * scores[$0] * (1 - scores[$0]) }
    case .softmax:
      let mean = scores.indices.reduce(0) { $0 + dscores[$1] * scores[$1] }
      return scores.indices.map { scores[$0] * (dscores[$0] - mean) }
    }
  }
}

extension Configuration {
  /// A router of sigmoid scores over groups of experts (DeepSeek-AI 2024), under the names that a model's kin has for its keys.
  mutating func groupedRouter(
    experts: Int, perToken: (key: String, fallback: Int), normalised: String, groups: String
  ) throws -> ExpertRouter {
    var rule = ExpertRouter(perToken: try integer(perToken.key, perToken.fallback, in: 1...experts))
    rule.scores = .sigmoid
    rule.isNormalised = try bool(normalised, true)
    rule.scale = Float(try float("routed_scaling_factor", 1, in: 0...1e6))
    rule.groups = try integer(groups, 1, in: 1...experts)
    rule.chosenGroups = try integer("topk_group", 1, in: 1...rule.groups)
    return rule
  }
}

/// A mixture of experts (Shazeer and others 2017) as a step's mixer: a router gives each token to a few feed-forwards, whose rows
/// are added in its shares; a shared one may see every token.
///
///     out = Σ_e share_e · expert_e(u) + σ(w_s u) · shared(u)          the last σ only where it has a gate
///
/// Experts are added in ascending order, so a token's row does not depend on the tokens beside it.
package struct ExpertsMixer: Mixer {
  /// One expert's weights; without a gate there is none.
  struct Expert: Sendable {
    var gate: Weight?
    var up, down: Weight
  }

  /// D, and the width between an expert's projections.
  let width, inner: Int
  let activation: Activation
  let rule: ExpertRouter
  /// E × D
  let router: Weight
  /// 1 × E, added to the scores for the choice alone.
  var choiceBias: Matrix?
  let experts: [Expert]
  /// Sees every token; perhaps behind a gate of one number, 1 × D.
  var shared: FeedForwardMixer?
  var sharedGate: Weight?

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] { [] }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    guard outputs > 0 else { return residual }
    let input = input.suffix(outputs)
    let x = input.rows
    let y = operations.copied(residual)
    let shares = operations.shares(operations.project(x, router), rule, bias: choiceBias)
    for (index, expert) in experts.enumerated() {
      let tokens = (0..<outputs).filter { shares.chosen[$0].contains(index) }
      if tokens.isEmpty { continue }
      let mark = operations.arena.mark()
      let rows = operations.gathered(x, tokens)
      let own = operations.gathered(shares.values.columns(index..<index + 1), tokens)
      let inner: Matrix
      if let gate = expert.gate {
        let opened = operations.project(rows, gate)
        inner = operations.activate(opened, activation, times: operations.project(rows, expert.up))
      } else {
        inner = operations.activate(operations.project(rows, expert.up), activation)
      }
      operations.scatter(operations.headScale(operations.project(inner, expert.down), by: own), tokens, into: y)
      if operations.tape == nil { operations.arena.release(to: mark) }
    }
    guard let shared else { return y }
    guard let sharedGate else { return shared.forward(input, state: state, outputs: outputs, residual: y, operations) }
    let zeros = operations.constant(0, rows: outputs, columns: width)
    let row = shared.forward(input, state: state, outputs: outputs, residual: zeros, operations)
    let open = operations.activate(operations.project(x, sharedGate), .sigmoid)
    return operations.add(operations.headScale(row, by: open), to: y)
  }

  package var gating: MixerGating { .none }
  package func referenceState(_ state: MixerState) -> [ReferenceTensor] { [] }

  package var scratchPerToken: Int {
    (rule.perToken + 1) * (3 * (inner + 16) + 4 * (width + 16)) + 2 * (experts.count + 16) + (shared?.scratchPerToken ?? 0)
  }
}

/// Which experts see each token, and its shares, T × E: zero where an expert does not see it.
struct ExpertShares {
  let chosen: [[Int]]
  let values: Matrix
}

extension Operations {
  /// A copy where a tape runs, x itself elsewhere: what is added to in place.
  func copied(_ x: Matrix) -> Matrix {
    guard tape != nil else { return x }
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: x)
    record(y) { dy, gradients, kernels in kernels.add(dy, to: gradients.of(x)) }
    return y
  }

  func shares(_ logits: Matrix, _ rule: ExpertRouter, bias: Matrix?) -> ExpertShares {
    let values = constant(0, rows: logits.rows, columns: logits.columns)
    let added = bias?.array() ?? [Float](repeating: 0, count: logits.columns)
    var (chosen, all): ([[Int]], [[Double]]) = ([], [])
    for token in 0..<logits.rows {
      let scores = rule.all(logits.rows(token..<token + 1).array())
      let own = rule.choice(zip(scores, added).map { $0 + Double($1) })
      let sum = rule.isNormalised ? own.reduce(0) { $0 + scores[$1] } + 1e-20 : 1
      for expert in own { values[token, expert] = Float(scores[expert] / sum * Double(rule.scale)) }
      chosen.append(own)
      all.append(scores)
    }
    record(values) { [chosen, all] dvalues, gradients, _ in
      let dlogits = gradients.of(logits)
      for token in chosen.indices {
        let d = rule.backward(all[token], chosen: chosen[token], chosen[token].map { Double(dvalues[token, $0]) })
        for expert in d.indices { dlogits[token, expert] += Float(d[expert]) }
      }
    }
    return ExpertShares(chosen: chosen, values: values)
  }

  /// The named rows of x.
  func gathered(_ x: Matrix, _ rows: [Int]) -> Matrix {
    let y = arena.matrix(rows: rows.count, columns: x.columns)
    for (place, row) in rows.enumerated() { y.rows(place..<place + 1).copy(from: x.rows(row..<row + 1)) }
    record(y) { dy, gradients, kernels in
      let dx = gradients.of(x)
      for (place, row) in rows.enumerated() { kernels.add(dy.rows(place..<place + 1), to: dx.rows(row..<row + 1)) }
    }
    return y
  }

  /// Adds rows of x to the named rows of y, in place.
  func scatter(_ x: Matrix, _ rows: [Int], into y: Matrix) {
    for (place, row) in rows.enumerated() { kernels.add(x.rows(place..<place + 1), to: y.rows(row..<row + 1)) }
    guard let tape else { return }
    let (kernels, gradients) = (kernels, tape.gradients)
    tape.record {
      let (dx, dy) = (gradients.of(x), gradients.of(y))
      for (place, row) in rows.enumerated() { kernels.add(dy.rows(row..<row + 1), to: dx.rows(place..<place + 1)) }
    }
  }
}
