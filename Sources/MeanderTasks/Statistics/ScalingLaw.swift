import Glibc

/// How a length grows with the size of a state, as fits to measured points: straight, as a power, or exponentially.
package enum ScalingLaw: String, Sendable, CaseIterable {
  /// T = a N + b
  case linear
  /// T = a N^b
  case power
  /// T = a (e^(b N) - 1) + c
  case exponential

  package struct Point: Sendable, Hashable {
    /// N, positive.
    package let size: Double
    /// T, positive.
    package let length: Double

    package init(size: Double, length: Double) {
      self.size = size
      self.length = length
    }
  }

  /// A law with its constants.
  package struct Fit: Sendable, Hashable {
    package let law: ScalingLaw
    /// a, b and c.
    package let constants: [Double]
    /// The share of the variance of log T that the law explains; it can be negative.
    package let explained: Double

    package func length(at size: Double) -> Double { law.length(at: size, constants) }
  }

  /// T at a size, for these constants.
  package func length(at size: Double, _ c: [Double]) -> Double {
    switch self {
    case .linear: c[0] * size + c[1]
    case .power: c[0] * pow(size, c[1])
    case .exponential: c[0] * expm1(c[1] * size) + c[2]
    }
  }

  /// The law through `points`, which must hold more sizes than it has constants, or nil. Relative errors count alike:
  /// the power law is fitted to logarithms, the others by squares weighted with 1/T².
  package func fit(_ points: [Point]) -> Fit? {
    let sizes = Set(points.map(\.size))
    guard sizes.count > (self == .exponential ? 3 : 2), points.allSatisfy({ $0.size > 0 && $0.length > 0 }) else {
      return nil
    }
    let constants: [Double]
    switch self {
    case .linear:
      let line = Self.line(points.map { ($0.size, $0.length, 1 / ($0.length * $0.length)) })
      constants = [line.slope, line.intercept]
    case .power:
      let line = Self.line(points.map { (log($0.size), log($0.length), 1) })
      constants = [exp(line.intercept), line.slope]
    case .exponential: constants = Self.exponential(points, largest: sizes.max() ?? 1)
    }
    return Fit(law: self, constants: constants, explained: explained(points, constants))
  }

  /// Weighted least squares.
  private static func line(_ points: [(x: Double, y: Double, weight: Double)]) -> (slope: Double, intercept: Double) {
    let weight = points.reduce(0) { $0 + $1.weight }
    let x = points.reduce(0) { $0 + $1.weight * $1.x } / weight
    let y = points.reduce(0) { $0 + $1.weight * $1.y } / weight
    let square = points.reduce(0) { $0 + $1.weight * ($1.x - x) * ($1.x - x) }
    let product = points.reduce(0) { $0 + $1.weight * ($1.x - x) * ($1.y - y) }
    let slope = square > 0 ? product / square : 0
    return (slope, y - slope * x)
  }

  /// For every rate the law is a line in e^(b N) - 1; the rate is searched for on a grid that is refined twice.
  private static func exponential(_ points: [Point], largest: Double) -> [Double] {
    func trial(_ rate: Double) -> (error: Double, constants: [Double]) {
      let line = line(points.map { (expm1(rate * $0.size), $0.length, 1 / ($0.length * $0.length)) })
      let error = points.reduce(0) { sum, point in
        let rest = (line.slope * expm1(rate * point.size) + line.intercept) / point.length - 1
        return sum + rest * rest
      }
      return (error, [line.slope, rate, line.intercept])
    }
    var center = 1 / largest
    var width = 1000.0
    for _ in 0..<4 {
      let rates = (-40...40).map { center * pow(width, Double($0) / 40) }
      center = rates.min { trial($0).error < trial($1).error } ?? center
      width = pow(width, 1.0 / 16)
    }
    return trial(center).constants
  }

  private func explained(_ points: [Point], _ constants: [Double]) -> Double {
    let logs = points.map { log($0.length) }
    let mean = logs.reduce(0, +) / Double(logs.count)
    let variance = logs.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let rest = points.reduce(0) { sum, point in
      let error = Self.logError(length(at: point.size, constants), point.length)
      return sum + error * error
    }
    return variance > 0 ? 1 - rest / variance : 1
  }

  /// A law that says less than nothing is as wrong as one that says a thousandth.
  private static func logError(_ said: Double, _ length: Double) -> Double { log(max(said, length / 1000) / length) }

  /// The root of the mean square of log(said / measured) when every size in turn is foretold from the others; nil
  /// where some size leaves too few.
  package func leaveOneOut(_ points: [Point]) -> Double? {
    var sum = 0.0
    for size in Set(points.map(\.size)) {
      guard let fit = fit(points.filter { $0.size != size }) else { return nil }
      for point in points where point.size == size {
        let error = Self.logError(fit.length(at: size), point.length)
        sum += error * error
      }
    }
    return points.isEmpty ? nil : (sum / Double(points.count)).squareRoot()
  }

  /// Between which lengths 95 % of the laws lie at `size` that are fitted to points drawn with replacement, size by
  /// size, from a fixed seed; nil where draws seldom hold enough sizes.
  package func band(_ points: [Point], at size: Double, draws: Int = 400) -> ClosedRange<Double>? {
    let groups = Dictionary(grouping: points, by: \.size).sorted { $0.key < $1.key }.map(\.value)
    var generator = TaskGenerator(seed: 1)
    var values: [Double] = []
    for _ in 0..<draws {
      let drawn = groups.indices.flatMap { _ in generator.pick(groups) }
      if let fit = fit(drawn) { values.append(fit.length(at: size)) }
    }
    guard values.count >= draws / 4 else { return nil }
    values.sort()
    return values[values.count / 40]...values[values.count - 1 - values.count / 40]
  }
}
