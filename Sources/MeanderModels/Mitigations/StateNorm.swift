/// State normalisation (Stuffed Mamba, first version): on the grid, h ← h · min(1, p / ‖h‖) for each head.
struct StateNorm: MitigationMethod {
  static let name = "state-norm"

  /// p, where it is given or was calibrated.
  var cap: HeadValues?
  /// Where it is not: p as a multiple of the head's largest norm within the trained length of this very stream.
  var factor: Double
  /// nil for 512, or a few cells within the trained length where that is short.
  var grid: Int?

  init(cap: HeadValues?, factor: Double, grid: Int?) { (self.cap, self.factor, self.grid) = (cap, factor, grid) }

  init(_ settings: inout MitigationSettings) throws {
    cap = try settings.perHead("cap")
    factor = try settings.number("factor") ?? 1
    grid = try settings.tokens("grid")
  }

  var settings: [(key: String, value: String)] {
    (cap.map { [("cap", $0.text)] } ?? []) + free
  }

  /// What a calibration leaves as it was given.
  private var free: [(key: String, value: String)] {
    [("factor", factor.description)] + (grid.map { [("grid", $0.description)] } ?? [])
  }

  func apply(to plan: inout MitigationPlan) throws {
    let grid = grid ?? Self.grid(for: plan.trainedLength)
    try plan.hold(grid: grid, [])
    try plan.hold("factor", factor, in: 0.001...1000)
    let layers = try plan.recurrentLayers(betweenTokens: true)
    if let cap {
      try plan.hold("cap", cap, in: 1e-6...1e12)
    } else if plan.trainedLength == nil {
      throw plan.unsupported(nil, "no cap is given, and it does not say on what length it was trained")
    }
    plan.add(Action(method: self, grid: grid, layers: layers))
  }

  private static func grid(for trainedLength: Int?) -> Int { trainedLength.map { Reset.grid(for: $0) } ?? LanguageModel.grid }

  /// The largest norm of each head within the samples, whose length should be the trained one.
  func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    var caps = calibration.model.plan.layers.map { [Double](repeating: 0, count: $0.count) }
    let grid = grid ?? Self.grid(for: calibration.model.plan.trainedLength)
    try calibration.readings(every: grid) { layer, head, reading in
      caps[layer][head] = max(caps[layer][head], reading.norm)
    }
    caps = caps.map { $0.map { max($0, 1e-6) } }
    return CalibrationResult(settings: free, values: ["cap": HeadValues(rows: caps)])
  }

  private struct Action: MitigationAction {
    let method: StateNorm
    let grid: Int
    let layers: [Int]

    func act(_ moment: GridMoment) {
      for layer in layers {
        guard let headed = moment.headed(layer) else { continue }
        for (head, reading) in moment.readings(layer).enumerated() {
          guard let cap = cap(moment, layer, head), reading.norm > cap else { continue }
          moment.scale(head, of: headed, by: cap / reading.norm)
        }
      }
    }

    private func cap(_ moment: GridMoment, _ layer: Int, _ head: Int) -> Double? {
      if let cap = method.cap { return cap.value(layer: layer, head: head) * method.factor }
      guard let length = moment.model.facts.intent.trainedLength, moment.position > Int64(length) else { return nil }
      let norm = moment.trainedNorm(layer, head)
      return norm > 0 ? norm * method.factor : nil
    }
  }
}

extension Mitigation {
  /// A cap on the norm of every head's state, held on the grid.
  public static func stateNorm(_ cap: Double, grid: Int? = nil) -> Mitigation {
    Mitigation(StateNorm(cap: HeadValues(cap), factor: 1, grid: grid))
  }

  /// The same, at `factor` times the largest norm that each head had within the model's trained length in this stream.
  public static func stateNorm(factor: Double = 1, grid: Int? = nil) -> Mitigation {
    Mitigation(StateNorm(cap: nil, factor: factor, grid: grid))
  }
}
