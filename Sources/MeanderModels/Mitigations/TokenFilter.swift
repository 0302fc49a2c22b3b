import MeanderKernels

/// Tokens with small time steps are not written, and do not decay, in heads of global reach (LongMamba), on a stream
/// whose length nobody knows.
///
/// LongMamba wants the length S beforehand and sets each head's threshold g(S) so that the time steps that it keeps sum
/// up to what the trained length L has, the budget. Here the threshold follows the stream: after t tokens it is g(t). A
/// token then adds budget / t on average, and the sum after t tokens is budget · (1 + ln(t / L)) where nothing filtered
/// would have made it budget · t / L.
struct TokenFilter: MitigationMethod {
  static let name = "token-filter"

  /// The threshold of each head once so many tokens were read; ascending, the first at the trained length.
  var thresholds: [(tokens: Int, values: HeadValues)]

  init(thresholds: [(tokens: Int, values: HeadValues)]) { self.thresholds = thresholds }

  init(_ settings: inout MitigationSettings) throws {
    let calibrated = settings.calibrated(prefix: Self.prefix)
    if calibrated.isEmpty {
      let threshold = try settings.number("threshold") ?? 0.01
      thresholds = [(try settings.tokens("after") ?? 0, HeadValues(threshold))]
    } else {
      thresholds = calibrated.compactMap { key, values in Int(key).map { ($0, values) } }.sorted { $0.0 < $1.0 }
    }
  }

  /// Calibrated values are called `at.2048`.
  static let prefix = "at."

  var settings: [(key: String, value: String)] {
    if thresholds.count == 1 {
      return [("threshold", thresholds[0].values.text), ("after", thresholds[0].tokens.description)]
    }
    return [("thresholds", HeadValues(rows: thresholds.flatMap { [[Double($0.tokens)]] + $0.values.rows }).text)]
  }

  func apply(to plan: inout MitigationPlan) throws {
    for (tokens, values) in thresholds {
      try plan.hold("threshold", values, in: 0...1000)
      try plan.hold("after", Double(tokens), in: 0...0x1p60)
    }
    guard !thresholds.isEmpty else { throw plan.refusal("no threshold is given") }
    _ = try plan.recurrentLayers(betweenTokens: false)
    plan.add(Schedule(method: self, counts: plan.layers.map(\.count)))
  }

  func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    try TokenBudgets(calibration).result()
  }

  private struct Schedule: MitigationAction {
    let method: TokenFilter
    let counts: [Int]

    func adjust(_ gates: inout [[GateTransform]], at state: ModelState) {
      // The threshold stands still within a cell of the grid, however the cell is cut.
      let position = state.position / Int64(grid) * Int64(grid)
      guard let last = method.thresholds.lastIndex(where: { Int64($0.tokens) <= position }) else { return }
      if gates.isEmpty { gates = counts.map { [GateTransform](repeating: .identity, count: $0) } }
      let (from, to) = (method.thresholds[last], method.thresholds[min(last + 1, method.thresholds.count - 1)])
      // Straight lines in the logarithm of the length.
      let span = from.tokens > 0 && to.tokens > from.tokens ? logarithm(Double(to.tokens) / Double(from.tokens)) : 0
      let share = span > 0 ? logarithm(Double(position) / Double(from.tokens)) / span : 0
      for layer in gates.indices {
        for head in gates[layer].indices {
          let low = from.values.value(layer: layer, head: head)
          let high = to.values.value(layer: layer, head: head)
          gates[layer][head].threshold = max(gates[layer][head].threshold, Float(low + share * (high - low)))
        }
      }
    }
  }
}

extension Mitigation {
  /// Time steps below `threshold` count as 0 once `after` tokens were read, in every head; a calibration finds the
  /// heads and thresholds that LongMamba's rule asks for.
  public static func tokenFilter(threshold: Double, after tokens: Int = 0) -> Mitigation {
    Mitigation(TokenFilter(thresholds: [(tokens, HeadValues(threshold))]))
  }
}
