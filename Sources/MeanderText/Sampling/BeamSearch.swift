/// Beam search over what a model says next: the bookkeeping, without a model.
///
/// Hypotheses grow token by token, the `width` likeliest going on. One that ends is scored
/// log P(Y) / ((5 + |Y|)^α / 6^α) + β Σ_i log(min(Σ_j p_ij, 1)), p_ij being what token j attended to place i of the prompt (Wu and
/// others 2016, GNMT, equation 14).
package struct BeamSearch: Sendable {
  /// A text so far.
  package struct Hypothesis: Sendable {
    package var tokens: [Sampled] = []
    /// log P, in nats, of what bias and penalties leave of the model's distribution.
    package var logProbability = 0.0
    /// Per place of the prompt, how much of it was attended to.
    package var coverage: [Double] = []

    /// Nothing so far.
    package init() {}
  }

  /// One way in which a hypothesis goes on.
  package struct Branch: Sendable {
    /// Which of the live hypotheses.
    package let parent: Int
    package let token: Sampled
    /// Whether the token is one that ends a text; it belongs to none.
    package let isEnd: Bool
    let logProbability: Double
  }

  private let options: SamplingOptions.Beam
  private let limit: Int
  /// Those that go on, the likeliest first.
  package private(set) var live = [Hypothesis()]
  /// The best of those that have ended, its score, and how many have.
  package private(set) var best: (hypothesis: Hypothesis, score: Double)?
  private var endedCount = 0

  /// - Parameter limit: how many tokens a text has at most.
  package init(_ options: SamplingOptions.Beam, limit: Int) { (self.options, self.limit) = (options, limit) }

  /// The branches that are worth following, the likeliest first: those that end among the first `width`, and `width` others.
  ///
  /// - Parameters:
  ///   - logits: per live hypothesis, V of the model.
  ///   - adjusted: the same after bias and penalties.
  package func branches(_ logits: [[Float]], adjusted: [[Float]], endTokens: Set<Int32>) throws -> [Branch] {
    let wanted = options.width + min(endTokens.count, 8) + 1
    var all: [Branch] = []
    for (parent, row) in adjusted.enumerated() {
      var candidates = Candidates(row)
      candidates.keep(first: wanted)
      candidates.sort(first: wanted)
      let maximum = Double(row.max() ?? 0)
      let total = Softmax.logarithm(Softmax.total(count: row.count, maximum: maximum) { row[$0] })
      let (plain, plainMaximum) = (logits[parent], Double(logits[parent].max() ?? 0))
      let plainTotal = Softmax.logarithm(Softmax.total(count: plain.count, maximum: plainMaximum) { plain[$0] })
      for place in 0..<candidates.count {
        let id = candidates.id(place)
        let own = Double(plain[Int(id)]) - plainMaximum - plainTotal
        all.append(
          Branch(
            parent: parent, token: Sampled(id: id, logProbability: own, top: []), isEnd: endTokens.contains(id),
            logProbability: live[parent].logProbability + Double(row[Int(id)]) - maximum - total))
      }
    }
    // A stable order: of two as likely, that of the likelier parent, then of the lower id.
    all.sort { a, b in
      if a.logProbability != b.logProbability { return a.logProbability > b.logProbability }
      return (a.parent, a.token.id) < (b.parent, b.token.id)
    }
    var (chosen, going) = ([Branch](), 0)
    for (rank, branch) in all.enumerated() where going < options.width {
      if branch.isEnd {
        if rank < options.width { chosen.append(branch) }
      } else {
        chosen.append(branch)
        going += 1
      }
    }
    return chosen
  }

  /// What becomes of a branch: the hypothesis with its token, or, where it ends, as it was.
  package func hypothesis(_ branch: Branch) -> Hypothesis {
    var next = live[branch.parent]
    next.logProbability = branch.logProbability
    if !branch.isEnd { next.tokens.append(branch.token) }
    return next
  }

  /// Takes in a text that has ended. True where it is the best so far.
  package mutating func end(_ hypothesis: Hypothesis) -> Bool {
    endedCount += 1
    let score = score(hypothesis)
    if let best, best.score >= score { return false }
    best = (hypothesis, score)
    return true
  }

  /// Goes on with these. True where nothing that they could become would be better than what has ended.
  package mutating func go(on hypotheses: [Hypothesis]) -> Bool {
    live = hypotheses
    guard let first = live.first else { return true }
    guard let best, endedCount >= options.width else { return false }
    // A text's log-probability only falls, and is divided by no more than that of the longest.
    return best.score >= first.logProbability / lengthPenalty(limit)
  }

  /// Whether the live ones are as long as they may be.
  package var isFull: Bool { live.first.map { $0.tokens.count >= limit } ?? true }

  package func score(_ hypothesis: Hypothesis) -> Double {
    let covered = hypothesis.coverage.reduce(0) { $0 + Softmax.logarithm(max(1e-12, min($1, 1))) }
    return hypothesis.logProbability / lengthPenalty(hypothesis.tokens.count)
      + (options.coveragePenalty > 0 ? options.coveragePenalty * covered : 0)
  }

  private func lengthPenalty(_ count: Int) -> Double {
    options.lengthPenalty == 0 ? 1 : Softmax.power(Double(5 + count) / 6, options.lengthPenalty)
  }
}
