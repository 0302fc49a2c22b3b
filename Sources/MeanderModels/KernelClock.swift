/// Where a training step's time goes, by kind of operation. One worker's own.
package final class KernelClock {
  /// The kinds of operation that are told apart.
  package enum Kind: String, Sendable, CaseIterable {
    case product, scan, attention, convolution, norm, embedding, loss, optimizer
  }

  package private(set) var seconds: [Double] = Array(repeating: 0, count: Kind.allCases.count)
  private let clock = ContinuousClock()

  package init() {}

  package func measure<Result>(_ kind: Kind, _ body: () throws -> Result) rethrows -> Result {
    let start = clock.now
    defer { add(start.duration(to: clock.now), to: kind) }
    return try body()
  }

  package func add(_ other: KernelClock) {
    for index in seconds.indices { seconds[index] += other.seconds[index] }
  }

  package func reset() { seconds = Array(repeating: 0, count: seconds.count) }

  /// Each kind's part of all that was measured.
  package var shares: [(kind: Kind, share: Double)] {
    let total = seconds.reduce(0, +)
    return Kind.allCases.enumerated().map { ($1, total > 0 ? seconds[$0] / total : 0) }
  }

  private func add(_ duration: Duration, to kind: Kind) {
    let (whole, rest) = duration.components
    seconds[Kind.allCases.firstIndex(of: kind) ?? 0] += Double(whole) + Double(rest) * 1e-18
  }
}
