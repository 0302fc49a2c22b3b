/// So many of so many, with the interval that the true rate lies in.
public struct Proportion: Sendable, Hashable {
  public let hits: Int
  public let samples: Int

  /// Traps unless 0 ≤ hits ≤ samples and samples > 0, which are the caller's to keep.
  public init(hits: Int, of samples: Int) {
    precondition(samples > 0 && (0...samples).contains(hits), "\(hits) of \(samples) is no proportion")
    self.hits = hits
    self.samples = samples
  }

  public var rate: Double { Double(hits) / Double(samples) }

  /// Wilson's score interval (1927); `z` is 1.96 for 95 %. Within [0, 1], and sensible for 0 and for all hits.
  public func interval(z: Double = 1.959964) -> ClosedRange<Double> {
    Self.interval(rate: rate, samples: Double(samples), z: z)
  }

  /// The same for a number of samples that need not be whole.
  static func interval(rate: Double, samples n: Double, z: Double) -> ClosedRange<Double> {
    let square = z * z / n
    let center = rate + square / 2
    let spread = z * (rate * (1 - rate) / n + square / (4 * n)).squareRoot()
    return max(0, (center - spread) / (1 + square))...min(1, (center + spread) / (1 + square))
  }
}
