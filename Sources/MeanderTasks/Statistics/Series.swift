/// The area under the curve of true over false positives: how likely a positive scores above a negative, ties counting
/// half (Mann and Whitney). O(n log n).
///
/// - Returns: nil where one of the two is empty.
package func areaUnderCurve(positives: [Double], negatives: [Double]) -> Double? {
  guard !positives.isEmpty, !negatives.isEmpty else { return nil }
  let scores = (positives.map { ($0, true) } + negatives.map { ($0, false) }).sorted { $0.0 < $1.0 }
  var rankSum = 0.0
  var start = 0
  while start < scores.count {
    var end = start
    while end < scores.count, scores[end].0 == scores[start].0 { end += 1 }
    // Ranks count from 1; those of equal scores are averaged.
    let rank = Double(start + 1 + end) / 2
    rankSum += rank * Double(scores[start..<end].count { $0.1 })
    start = end
  }
  let n = Double(positives.count)
  return (rankSum - n * (n + 1) / 2) / (n * Double(negatives.count))
}

/// An exponential mean over the last values, right from the first one on.
package struct RunningMean: Sendable, Hashable {
  /// How much of the mean is left after each new value.
  package let memory: Double
  package private(set) var sum: Double
  package private(set) var weight: Double

  /// - Parameter span: over how many values the mean looks back; at least 1.
  package init(span: Double, sum: Double = 0, weight: Double = 0) {
    memory = 1 - 1 / max(1, span)
    self.sum = sum
    self.weight = weight
  }

  package mutating func add(_ value: Double) {
    sum = memory * sum + (1 - memory) * value
    weight = memory * weight + (1 - memory)
  }

  /// Nil before the first value.
  package var value: Double? { weight > 0 ? sum / weight : nil }
  /// How much of a full span was seen, in [0, 1].
  package var fullness: Double { weight }
}

/// The median of each value and the `span` / 2 before and behind it; at the ends, of those that there are.
/// O(n span) time.
package func runningMedian(_ values: [Double], span: Int) -> [Double] {
  let half = max(0, span / 2)
  // The window, kept sorted: one value comes and one goes for each step.
  var window = values.prefix(half).sorted()
  return values.indices.map { place in
    if place + half < values.count {
      let value = values[place + half]
      window.insert(value, at: window.partitioningIndex { $0 >= value })
    }
    if place - half - 1 >= 0 {
      let value = values[place - half - 1]
      window.remove(at: window.partitioningIndex { $0 >= value })
    }
    let middle = window.count / 2
    return window.count.isMultiple(of: 2) ? (window[middle - 1] + window[middle]) / 2 : window[middle]
  }
}
