import MeanderErrors
import MeanderFiles
import MeanderTasks

/// How long the examples of a task may be by now: short first, then fourfold whenever the answers are right often
/// enough.
struct TaskCurriculum: Equatable {
  /// The most that is drawn now.
  private(set) var limit: Int
  /// Steps since the limit grew.
  private(set) var steps = 0
  private var mean: RunningMean

  let maximum: Int
  /// The share of right answers that makes it grow.
  let threshold: Double
  /// Over how many steps that share is taken; the limit grows no sooner.
  let span: Int

  private static let growth = 4

  init(start: Int, maximum: Int, threshold: Double = 0.93, span: Int = 20) {
    limit = min(start, maximum)
    self.maximum = maximum
    self.threshold = threshold
    self.span = span
    mean = RunningMean(span: Double(span))
  }

  mutating func learned(_ accuracy: Double) {
    mean.add(accuracy)
    steps += 1
    guard limit < maximum, steps >= span, let value = mean.value, value >= threshold else { return }
    limit = limit > maximum / Self.growth ? maximum : limit * Self.growth
    steps = 0
    mean = RunningMean(span: Double(span))
  }

  var position: JSON {
    JSON([
      ("limit", JSON(limit)), ("steps", JSON(steps)), ("mean_sum", JSON(mean.sum)), ("mean_weight", JSON(mean.weight)),
    ])
  }

  mutating func restore(_ position: JSON) throws {
    guard let limit = position["limit"]?.integer, (0...maximum).contains(limit),
      let steps = position["steps"]?.integer, let sum = position["mean_sum"]?.double,
      let weight = position["mean_weight"]?.double
    else {
      throw MeanderError(.mismatch, "the position does not belong to this curriculum", at: "task")
    }
    self.limit = limit
    self.steps = steps
    mean = RunningMean(span: Double(span), sum: sum, weight: weight)
  }
}
