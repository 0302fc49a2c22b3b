import MeanderErrors
import MeanderFiles
import MeanderKernels

/// When a reader's answer is uncertain enough to ask another model: a number that its tokens' log-probabilities give, and a bound.
///
/// Whatever the rule, the gauge's alarm counts as well (a collapsing state is sure of itself), and so does an answer without a token.
public struct DeferralRule: Sendable, Hashable {
  /// What is made of the log-probabilities of an answer's tokens (Gupta and others 2024).
  public enum Statistic: Sendable, Hashable {
    /// Their quantile, between the two nearest of them: 0 is the least certain token, 0.5 the median. Unlike the sum it does not punish
    /// length, and unlike the mean it is not drowned by what was easy.
    case quantile(Double)
    /// Chow's sum: the log-probability of the whole answer.
    case sum
    /// Chow's average.
    case average
    /// Nothing: only the alarm counts.
    case alarm
    /// Log-odds of being right, a bias and a weight for each of `DeferralRule.quantiles`: what `meander calibrate` fits.
    case learned([Double])
  }

  /// The quantiles that a learned rule looks at.
  public static let quantiles = [0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1]

  /// What is looked at.
  public var statistic: Statistic
  /// The answer is uncertain where it lies below this.
  public var threshold: Double

  /// The tenth of the log-probabilities, and one nat.
  public init(_ statistic: Statistic = .quantile(0.1), threshold: Double = -1) {
    (self.statistic, self.threshold) = (statistic, threshold)
  }

  /// The confidence in an answer with these log-probabilities; nil of none.
  public func confidence(in logProbabilities: [Double]) -> Double? {
    guard !logProbabilities.isEmpty else { return nil }
    switch statistic {
    case .quantile(let place): return Self.quantile(place, of: logProbabilities.sorted())
    case .sum: return logProbabilities.reduce(0, +)
    case .average: return logProbabilities.reduce(0, +) / Double(logProbabilities.count)
    case .alarm: return .greatestFiniteMagnitude
    case .learned(let weights):
      return zip(weights, Self.features(of: logProbabilities)).reduce(0) { $0 + $1.0 * $1.1 }
    }
  }

  /// What a learned rule multiplies its weights with: 1, and each quantile, none below -20.
  package static func features(of logProbabilities: [Double]) -> [Double] {
    let sorted = logProbabilities.sorted()
    return [1] + quantiles.map { max(-20, quantile($0, of: sorted)) }
  }

  private static func quantile(_ share: Double, of sorted: [Double]) -> Double {
    let place = share * Double(sorted.count - 1)
    let low = Int(place.rounded(.down))
    let high = min(low + 1, sorted.count - 1)
    return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
  }

  /// Throws `badRequest` for what is out of range.
  package func validate() throws {
    var what: String?
    if case .quantile(let place) = statistic, !(0...1).contains(place) {
      what = "a quantile lies from 0 to 1, and \(place) does not"
    }
    if case .learned(let weights) = statistic {
      if weights.count != Self.quantiles.count + 1 { what = "a learned rule has \(Self.quantiles.count + 1) weights, and not \(weights.count)" }
      if !weights.allSatisfy(\.isFinite) { what = "a weight is not finite" }
    }
    if threshold.isNaN { what = "a threshold must be a number" }
    if let what { throw MeanderError(.badRequest, what, at: "deferral rule") }
  }
}

extension DeferralRule {
  /// The names of the rules.
  public static let names = ["quantile", "sum", "average", "alarm", "learned"]

  /// What the rule is called.
  public var name: String {
    switch statistic {
    case .quantile: "quantile"
    case .sum: "sum"
    case .average: "average"
    case .alarm: "alarm"
    case .learned: "learned"
    }
  }

  /// The rule of that name, as it is where nothing was calibrated. Throws `badRequest` for a name that is none, and for `learned`,
  /// which has to be.
  public init(named name: String) throws {
    switch name {
    case "quantile": self.init()
    case "sum": self.init(.sum, threshold: -2)
    case "average": self.init(.average, threshold: -0.5)
    case "alarm": self.init(.alarm)
    default:
      throw MeanderError(
        .badRequest, name == "learned" ? "a learned rule comes from a file" : "there is no deferral rule '\(name)'", at: "deferral",
        remedy: "There are quantile, sum, average and alarm, and @FILE for what `meander calibrate --deferral` found.")
    }
  }

  /// Reads what `meander calibrate --deferral` wrote. Throws `badData` naming the key that is wrong.
  public init(contentsOf path: String) throws {
    let file = try FileBytes.mapping(path)
    var configuration = try Configuration(try JSON.parse(file), file: path)
    let name = try configuration.string("deferral", among: Self.names)
    let threshold = try configuration.float("threshold")
    let statistic: Statistic
    switch name {
    case "quantile": statistic = .quantile(try configuration.float("quantile", 0.1, in: 0...1))
    case "sum": statistic = .sum
    case "average": statistic = .average
    case "alarm": statistic = .alarm
    default: statistic = .learned(try configuration.floats("weights", count: Self.quantiles.count + 1))
    }
    configuration.ignore(["model", "fingerprint", "samples", "right", "budget", "seed", "task", "lengths"])
    try configuration.finish()
    self.init(statistic, threshold: threshold)
    try validate()
  }

  /// The rule as a file holds it.
  package var members: [(String, JSON)] {
    var members: [(String, JSON)] = [("deferral", .string(name)), ("threshold", JSON(threshold))]
    if case .quantile(let place) = statistic { members.append(("quantile", JSON(place))) }
    if case .learned(let weights) = statistic { members.append(("weights", .array(weights.map { JSON($0) }))) }
    return members
  }

  /// The rule whose threshold defers a share of answers: of those with these log-probabilities, the least certain.
  ///
  /// - Parameters:
  ///   - answers: log-probabilities of each answer's tokens, and whether it was right.
  ///   - budget: the share to defer, 0 to 1.
  package func calibrated(on answers: [(logProbabilities: [Double], isRight: Bool)], budget: Double) -> DeferralRule {
    var rule = self
    if case .learned = statistic { rule.statistic = .learned(Self.fit(answers)) }
    let values = answers.compactMap { rule.confidence(in: $0.logProbabilities) }.sorted()
    let count = Int((budget * Double(values.count)).rounded())
    // Between the last that is deferred and the first that is not.
    rule.threshold = values.isEmpty ? -1 : count == 0 ? values[0] - 1 : count >= values.count ? values[values.count - 1] + 1
      : (values[count - 1] + values[count]) / 2
    return rule
  }

  /// Logistic regression with a small penalty on the weights, by Newton's steps.
  private static func fit(_ answers: [(logProbabilities: [Double], isRight: Bool)]) -> [Double] {
    let count = quantiles.count + 1
    let rows = answers.filter { !$0.logProbabilities.isEmpty }.map { (features(of: $0.logProbabilities), $0.isRight ? 1.0 : 0) }
    var weights = [Double](repeating: 0, count: count)
    for _ in 0..<30 {
      var gradient = weights.map { -0.1 * $0 }
      var curvature = (0..<count).map { row in (0..<count).map { $0 == row ? 0.1 : 0 } }
      for (features, right) in rows {
        let odds = max(-30, min(30, zip(weights, features).reduce(0) { $0 + $1.0 * $1.1 }))
        let chance = 1 / (1 + exponential(-odds))
        for i in 0..<count {
          gradient[i] += (right - chance) * features[i]
          for j in 0..<count { curvature[i][j] += chance * (1 - chance) * features[i] * features[j] }
        }
      }
      let step = solve(curvature, gradient)
      for i in 0..<count { weights[i] += step[i] }
      if step.allSatisfy({ abs($0) < 1e-9 }) { break }
    }
    return weights
  }

  /// x of A·x = b, A symmetric and positive.
  private static func solve(_ a: [[Double]], _ b: [Double]) -> [Double] {
    var (a, x) = (a, b)
    for k in x.indices {
      for row in x.indices where row != k {
        let factor = a[row][k] / a[k][k]
        for column in k..<x.count { a[row][column] -= factor * a[k][column] }
        x[row] -= factor * x[k]
      }
    }
    return x.indices.map { x[$0] / a[$0][$0] }
  }
}
