import MeanderErrors
import MeanderKernels

/// A text in samples, and a model to be tried on it: what a mitigation finds its free values with.
package struct Calibration {
  /// The model as it was trained.
  package let model: LanguageModel
  let kernels: Kernels
  let workspace: Workspace
  /// As many tokens each.
  let samples: [[Int32]]
  let options: CalibrationOptions
  /// Told of each step; throws to end the search.
  private let report: (String) throws -> Void

  package init(
    model: LanguageModel, kernels: Kernels, workspace: Workspace, samples: [[Int32]], options: CalibrationOptions,
    report: @escaping (String) throws -> Void
  ) throws {
    guard let length = samples.first?.count, length > 1, samples.allSatisfy({ $0.count == length }) else {
      throw MeanderError(.badRequest, "there is too little text for one sample", at: "calibration")
    }
    (self.model, self.kernels, self.workspace, self.samples, self.options, self.report) =
      (model, kernels, workspace, samples, options, report)
  }

  func tell(_ text: String) throws { try report(text) }

  /// Bits a token over the second half of every sample, each from a state of its own. O(tokens).
  package func loss(under mitigations: [Mitigation]) throws -> Double {
    let model = try model.mitigated(by: mitigations)
    var nats = 0.0
    var count = 0
    for sample in samples {
      try report("")
      let state = model.makeState()
      let half = sample.count / 2
      do {
        try model.advance(state, by: sample[..<half], kernels: kernels, workspace: workspace)
        var done = half
        try model.advance(
          state, by: sample[half..<sample.count - 1], kernels: kernels, workspace: workspace,
          readout: .each { _, logits in
            let targets = sample[(done + 1)..<(done + 1 + logits.rows)]
            nats += kernels.surprisals(logits, targets: targets).reduce(0) { $0 + Double($1) }
            done += logits.rows
            count += logits.rows
          })
      } catch let error as MeanderError where error.code == .nonFinite {
        // Values under which a state grows without bounds are as bad as can be.
        return .infinity
      }
    }
    return nats.isFinite ? nats / Double(max(1, count)) * 1.4426950408889634 : .infinity
  }

  /// Every head's reading at multiples of `grid`, over all samples.
  func readings(every grid: Int, _ visit: (_ layer: Int, _ head: Int, _ reading: HeadReading) -> Void) throws {
    for (index, sample) in samples.enumerated() {
      try report("sample \(index + 1) of \(samples.count)")
      let state = model.makeState()
      for start in stride(from: 0, to: sample.count, by: grid) {
        let piece = sample[start..<min(start + grid, sample.count)]
        try model.advance(state, by: piece, kernels: kernels, workspace: workspace)
        for (layer, heads) in model.gauge(of: state, kernels: kernels).enumerated() {
          for (head, reading) in heads.enumerated() { visit(layer, head, reading) }
        }
      }
    }
  }

  /// Simultaneous perturbation (Spall 1992, as MambaExtend uses it) of one scale a layer or head, in its logarithm:
  /// both sides of a random direction are tried and a step is taken along their difference; whichever of the four is
  /// best stays.
  func perturb(_ mitigation: (HeadValues) -> Mitigation) throws -> CalibrationResult {
    let counts = model.plan.layers.map { options.isPerHead ? $0.count : min(1, $0.count) }
    var logarithms = [Double](repeating: 0, count: counts.reduce(0, +))
    func values(_ logarithms: [Double]) -> HeadValues {
      var rest = logarithms[...]
      return HeadValues(
        rows: counts.map { count in
          let row = rest.prefix(count).map { exponential($0) }
          rest = rest.dropFirst(count)
          return row.isEmpty ? [1] : row
        })
    }
    func loss(_ logarithms: [Double]) throws -> Double { try self.loss(under: [mitigation(values(logarithms))]) }
    var generator = SplitMix64(seed: options.seed)
    let unchanged = try self.loss(under: [])
    var best = unchanged
    for step in 0..<options.iterations {
      let width = 0.2 / Double(1 + step).squareRoot().squareRoot()
      let direction = logarithms.map { _ in generator.next() & 1 == 0 ? width : -width }
      func moved(_ share: Double) -> [Double] {
        zip(logarithms, direction).map { min(max($0 + share * $1, -6), 6) }
      }
      let (above, below) = (try loss(moved(1)), try loss(moved(-1)))
      // Along the straight line through both sides, at most twice their distance.
      let slope = above - below
      let share = slope.isFinite ? min(max(-slope * 8, -2), 2) : (above < below ? 1 : -1)
      let candidates = [(above, 1.0), (below, -1.0), (try loss(moved(share)), share)]
      if let found = candidates.min(by: { $0.0 < $1.0 }), found.0 < best {
        best = found.0
        logarithms = moved(found.1)
      }
      try report("step \(step + 1) of \(options.iterations): \(best) bits a token, \(unchanged) without")
    }
    return CalibrationResult(settings: [], values: ["scale": values(logarithms)], loss: (unchanged, best))
  }
}

/// How a calibration searches.
package struct CalibrationOptions: Sendable {
  package var seed: UInt64 = 1
  package var iterations = 30
  /// One value for each head, instead of each layer.
  package var isPerHead = false
  /// θ: a head whose first token keeps more than this over the trained length is of global reach.
  package var globalRetention = 0.05
  /// The largest part of a head's time steps, which are counted as the smallest of them.
  package var clampedShare = 0.05

  package init() {}
}

/// What a calibration found.
package struct CalibrationResult: Sendable {
  /// Settings and their values as text.
  package var settings: [(key: String, value: String)]
  package var values: [String: HeadValues]
  /// Bits a token before and after, where losses were compared.
  package var loss: (before: Double, after: Double)?
}
