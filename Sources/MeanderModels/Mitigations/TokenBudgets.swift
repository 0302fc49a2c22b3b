import MeanderKernels

/// The distribution of every head's time steps over samples of the trained length, and the thresholds that follow from
/// it.
///
/// The largest C of the steps are clamped to the smallest of these C. A head's budget is the sum over L tokens. For a
/// stream of S tokens the threshold is the largest g for which steps of at least g, S/L times as many, still sum up to
/// the budget.
final class TokenBudgets: StepObserver {
  private let calibration: Calibration
  private let length: Int
  /// Per layer and head: all steps, and the sum over all samples of what its first token keeps.
  private var steps: [[[Float]]]
  private var retentions: [[Double]]
  private var layers: [Int] = []
  private var next = 0

  /// Reads all samples.
  init(_ calibration: Calibration) throws {
    self.calibration = calibration
    length = calibration.samples.first?.count ?? 1
    let gating = calibration.model.plan.layers
    steps = gating.map { [[Float]](repeating: [], count: $0.count) }
    retentions = gating.map { [Double](repeating: 0, count: $0.count) }
    for layer in gating.indices {
      switch gating[layer] {
      case .heads: layers.append(layer)
      case .none: break
      case .channels: throw calibration.model.plan.unsupported(layer, "its time steps are not those of heads")
      case .fixed(let reason), .states(_, _, _, let reason): throw calibration.model.plan.unsupported(layer, reason)
      }
    }
    for (index, sample) in calibration.samples.enumerated() {
      try calibration.tell("sample \(index + 1) of \(calibration.samples.count)")
      let state = calibration.model.makeState()
      try calibration.model.advance(
        state, by: sample[...], kernels: calibration.kernels, workspace: calibration.workspace, observer: self)
      for (layer, heads) in calibration.model.gauge(of: state, kernels: calibration.kernels).enumerated() {
        for head in retentions[layer].indices { retentions[layer][head] += exponential(heads[head].retention) }
      }
    }
  }

  func see(_ dt: Matrix, heads: HeadGates, kernels: Kernels) {
    let layer = layers[next % layers.count]
    next += 1
    let count = heads.gates.count
    let decays = Doubles([Double](repeating: 0, count: dt.rows * count))
    let found = HeadSteps(step: Matrix(rows: dt.rows, columns: count), decay: decays)
    kernels.steps(dt, heads: HeadTable(heads.gates), total: nil, into: found)
    for row in 0..<dt.rows {
      for head in 0..<count { steps[layer][head].append(found.step[row, head]) }
    }
  }

  /// The lengths whose thresholds are told: the trained one, then doubling, to 16 M tokens.
  private var lengths: [Int] {
    var lengths = [length]
    while let last = lengths.last, last < 1 << 24 { lengths.append(last * 2) }
    return lengths
  }

  func result() -> CalibrationResult {
    var rows = [[[Double]]](repeating: steps.map { [Double](repeating: 0, count: max(1, $0.count)) }, count: lengths.count)
    for layer in layers {
      for head in steps[layer].indices {
        let reach = retentions[layer][head] / Double(calibration.samples.count)
        guard reach > calibration.options.globalRetention else { continue }
        for (index, threshold) in thresholds(steps[layer][head]).enumerated() { rows[index][layer][head] = threshold }
      }
    }
    var values: [String: HeadValues] = [:]
    for (length, rows) in zip(lengths, rows) { values["\(TokenFilter.prefix)\(length)"] = HeadValues(rows: rows) }
    return CalibrationResult(settings: [], values: values)
  }

  /// One head's threshold for each of `lengths`.
  private func thresholds(_ steps: [Float]) -> [Double] {
    let sorted = steps.sorted(by: >)
    let clamp = sorted[min(sorted.count - 1, Int(Double(sorted.count) * calibration.options.clampedShare))]
    let clamped = sorted.map { Double(min($0, clamp)) }
    let budget = clamped.reduce(0, +)
    var (kept, sum) = (clamped.count, budget)
    return lengths.map { length in
      let wanted = budget * Double(self.length) / Double(length)
      while kept > 1, sum > wanted * (1 + 1e-12) {
        kept -= 1
        sum -= clamped[kept]
      }
      return length == self.length ? 0 : Double(sorted[kept - 1])
    }
  }
}

/// What looks at raw time steps on their way into a recurrence.
package protocol StepObserver: AnyObject {
  func see(_ dt: Matrix, heads: HeadGates, kernels: Kernels)

  /// Whether it wants to be told of attention, which costs more than attending does.
  var watchesAttention: Bool { get }

  /// A token at `position` attended: to `seen`, with so much weight of each head on each of them.
  func see(attention weights: [[Double]], to seen: [Int64], at position: Int64)
}

extension StepObserver {
  package var watchesAttention: Bool { false }
  package func see(_ dt: Matrix, heads: HeadGates, kernels: Kernels) {}
  package func see(attention weights: [[Double]], to seen: [Int64], at position: Int64) {}
}
