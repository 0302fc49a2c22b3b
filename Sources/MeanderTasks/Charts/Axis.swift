import Glibc

/// One axis of a panel: what it measures, on which scale, from where to where.
package struct Axis: Sendable {
  package enum Scale: Sendable { case linear, logarithmic }

  package var label: String
  package var scale: Scale
  /// What it shows; taken from the data where it is nil.
  package var range: ClosedRange<Double>?
  /// Where its ticks are; round numbers where it is nil.
  package var ticks: [Double]?
  package var format: @Sendable (Double) -> String

  package init(
    _ label: String, _ scale: Scale = .linear, range: ClosedRange<Double>? = nil, ticks: [Double]? = nil,
    format: @escaping @Sendable (Double) -> String = Figure.compact
  ) {
    self.label = label
    self.scale = scale
    self.range = range
    self.ticks = ticks
    self.format = format
  }

  /// Whether the axis has a place for `value`.
  func shows(_ value: Double) -> Bool { value.isFinite && (scale == .linear || value > 0) }

  /// The axis with a range that holds `values` and ends in round numbers, and with ticks.
  func fitted(to values: [Double], tickCount: Int) -> FittedAxis {
    let values = values.filter(shows)
    var low = range?.lowerBound ?? values.min() ?? (scale == .linear ? 0 : 1)
    var high = range?.upperBound ?? values.max() ?? (scale == .linear ? 1 : 10)
    if scale == .logarithmic, low <= 0 { low = min(1, high / 10) }
    if low == high {
      // One value alone stands in the middle.
      let margin = low.magnitude / 2
      (low, high) = scale == .logarithmic ? (low / 2, high * 2) : low == 0 ? (0, 1) : (low - margin, high + margin)
    }
    let rounded = scale == .linear ? Self.linearTicks : Self.logarithmicTicks
    let ticks = ticks ?? rounded(low, high, tickCount)
    if range == nil, self.ticks == nil, scale == .linear, let first = ticks.first, let last = ticks.last {
      low = min(low, first)
      high = max(high, last)
    }
    let slack = (high - low) * 1e-9
    return FittedAxis(axis: self, low: low, high: high, ticks: ticks.filter { $0 >= low - slack && $0 <= high + slack })
  }

  /// Multiples of 1, 2 or 5 times a power of ten, from just outside of the range.
  private static func linearTicks(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
    let rough = (high - low) / Double(max(1, count))
    let power = pow(10, floor(log10(rough)))
    let step = [1, 2, 5, 10].map { $0 * power }.first { $0 >= rough * 0.999 } ?? 10 * power
    let first = Int(floor(low / step + 1e-9))
    let last = Int(ceil(high / step - 1e-9))
    return (first...max(first, last)).map { Double($0) * step }
  }

  /// Powers of ten, thinned out; with their doubles and fives where there are few.
  private static func logarithmicTicks(_ low: Double, _ high: Double, _ count: Int) -> [Double] {
    let first = Int(floor(log10(low) + 1e-9))
    let last = Int(ceil(log10(high) - 1e-9))
    let decades = last - first
    let powers = (first...last).map { pow(10, Double($0)) }
    if decades > count {
      let step = (decades + count - 1) / count
      return powers.enumerated().filter { ($0.offset + first).isMultiple(of: step) }.map(\.element)
    }
    let within = { (ticks: [Double]) in ticks.filter { $0 >= low * 0.999 && $0 <= high * 1.001 } }
    if within(powers).count >= 3 { return powers }
    let more = within(powers.flatMap { [$0, 2 * $0, 5 * $0] })
    if more.count >= 2 { return more }
    // Less than an octave: a logarithm is all but straight here.
    return linearTicks(low, high, count)
  }
}

/// An axis whose ends are known.
struct FittedAxis {
  let axis: Axis
  let low: Double
  let high: Double
  let ticks: [Double]

  /// Where `value` stands, 0 at the low end and 1 at the high one.
  func place(_ value: Double) -> Double {
    switch axis.scale {
    case .linear: (value - low) / (high - low)
    case .logarithmic: log(value / low) / log(high / low)
    }
  }
}
