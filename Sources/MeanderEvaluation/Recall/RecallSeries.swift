import MeanderTasks

/// Questions of one kind, over all lengths: a curve of the report.
package struct RecallSeries: Sendable {
  package var name: String
  package var task: any RecallTask
  /// In which ways each question is asked, from forks of one haystack that was read once.
  package var endings: [Ending]
  package var rule: Rule
  /// Whether nothing was said that could be asked for: a model should say that there is none.
  package var isAbsent: Bool

  package init(
    _ name: String, _ task: any RecallTask, endings: [Ending] = [.plain], rule: Rule = .contains, isAbsent: Bool = false
  ) {
    self.name = name
    self.task = task
    self.endings = endings
    self.rule = rule
    self.isAbsent = isAbsent
  }

  /// How a question ends.
  package enum Ending: String, Sendable, CaseIterable {
    case plain
    /// With a space, so that the answer begins without one: what models that read bytes may have been trained with.
    case space
  }

  /// When an answer counts.
  package enum Rule: String, Sendable {
    /// It stands in the greedy continuation, which is no longer than five tokens or the answer itself: the published
    /// rule.
    case contains
    /// Every part of it (several values) stands in the continuation, each counted alone: RULER's rule.
    case share
    /// Each of its tokens is the likeliest after those before it, all of them; for answers that are no text.
    case exact
  }

  /// The name of the curve of one ending.
  func name(_ ending: Ending) -> String { ending == .plain ? name : "\(name), space" }
}

/// Where what is asked for stands.
package enum RecallDepths: Sendable, Hashable {
  /// Drawn for each sample, uniformly.
  case uniform
  /// (i + ½) / n for sample i of n, as the published script has it.
  case even
  /// At each of these in turn, 0 at the beginning and 1 at the end.
  case fixed([Double])

  package var text: String {
    switch self {
    case .uniform: "uniform"
    case .even: "even"
    case .fixed(let depths): depths.map { Figure.fixed($0, places: 4) }.joined(separator: ",")
    }
  }
}
