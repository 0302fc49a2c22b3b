import MeanderKernels

/// Reduced retention and insertion (Stuffed Mamba): a ← cA · a, and what is written is multiplied by sB.
struct RetentionInsertion: MitigationMethod {
  static let name = "rri"

  /// cA
  var retention: Double
  /// sB
  var insertion: Double

  init(retention: Double, insertion: Double) { (self.retention, self.insertion) = (retention, insertion) }

  init(_ settings: inout MitigationSettings) throws {
    retention = try settings.number("retention") ?? 0.9999
    insertion = try settings.number("insertion") ?? 0.75
  }

  var settings: [(key: String, value: String)] {
    [("retention", retention.description), ("insertion", insertion.description)]
  }

  func apply(to plan: inout MitigationPlan) throws {
    try plan.hold("retention", retention, in: 0.01...1)
    try plan.hold("insertion", insertion, in: 0.001...10)
    let decay = logarithm(retention)
    try plan.transform { gate, _, _ in
      gate.logRetention += decay
      gate.insertion *= Float(insertion)
    }
  }
}

extension RetentionInsertion {
  /// The best of the published pairs and their neighbors.
  func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    var best = (loss: try calibration.loss(under: []), retention: 1.0, insertion: 1.0)
    let unchanged = best.loss
    for retention in [0.99999, 0.9999, 0.999, 0.99] {
      for insertion in [1, 0.75, 0.5] {
        let loss = try calibration.loss(under: [.rri(retention: retention, insertion: insertion)])
        try calibration.tell("retention \(retention), insertion \(insertion): \(loss) bits a token")
        if loss < best.loss { best = (loss, retention, insertion) }
      }
    }
    return CalibrationResult(
      settings: [("retention", best.retention.description), ("insertion", best.insertion.description)], values: [:],
      loss: (unchanged, best.loss))
  }
}

extension Mitigation {
  /// Reduced retention and insertion: every token's retention is multiplied by `retention`, what it writes by
  /// `insertion`.
  public static func rri(retention: Double = 0.9999, insertion: Double = 0.75) -> Mitigation {
    Mitigation(RetentionInsertion(retention: retention, insertion: insertion))
  }
}
