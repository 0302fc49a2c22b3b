/// The mean of values that are independent of each other, with the interval that the true mean lies in.
package struct MeanInterval: Sendable, Hashable {
  package let mean: Double
  /// 95 % by Student's distribution; the mean alone for a single value.
  package let interval: ClosedRange<Double>

  /// There must be a value at least.
  package init(_ values: [Double]) {
    precondition(!values.isEmpty, "the mean of nothing")
    let count = Double(values.count)
    let mean = values.reduce(0, +) / count
    self.mean = mean
    guard values.count > 1 else {
      interval = mean...mean
      return
    }
    let squares = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    let half = Self.student(values.count - 1) * (squares / (count - 1) / count).squareRoot()
    interval = (mean - half)...(mean + half)
  }

  /// The 97.5 % point of Student's distribution: exact for one and two degrees of freedom, else by Cornish and
  /// Fisher's expansion, which is off by less than 2 in 1,000 at three and by less with more.
  static func student(_ degrees: Int) -> Double {
    if degrees <= 1 { return 12.7062 }
    if degrees == 2 { return 4.30265 }
    let z = 1.959964
    let (z3, z5, z7) = (z * z * z, z * z * z * z * z, z * z * z * z * z * z * z)
    let n = Double(degrees)
    return z + (z3 + z) / (4 * n) + (5 * z5 + 16 * z3 + 3 * z) / (96 * n * n)
      + (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * n * n * n)
      + (79 * z7 * z * z + 776 * z7 + 1482 * z5 - 1920 * z3 - 945 * z) / (92160 * n * n * n * n)
  }
}
