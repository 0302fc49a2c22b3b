/// The time step after softplus, scaled (MambaExtend): dt' = sD · dt, which changes decay and insertion alike.
struct TimeStepScale: MitigationMethod {
  static let name = "dt-scale"

  /// sD
  var scale: HeadValues

  init(scale: HeadValues) { self.scale = scale }

  init(_ settings: inout MitigationSettings) throws { scale = try settings.perHead("scale") ?? HeadValues(0.5) }

  var settings: [(key: String, value: String)] { [("scale", scale.text)] }

  func apply(to plan: inout MitigationPlan) throws {
    try plan.hold("scale", scale, in: 0.001...1000)
    try plan.transform { $0.timeStepScale *= Float(scale.value(layer: $1, head: $2)) }
  }
}

extension TimeStepScale {
  /// Simultaneous perturbation of one scale a layer, or a head.
  func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    try calibration.perturb { Mitigation(TimeStepScale(scale: $0)) }
  }
}

extension Mitigation {
  /// Time steps scaled by one number.
  public static func timeStepScale(_ scale: Double) -> Mitigation { Mitigation(TimeStepScale(scale: HeadValues(scale))) }

  /// Time steps scaled layer by layer.
  public static func timeStepScale(layers scales: [Double]) -> Mitigation {
    Mitigation(TimeStepScale(scale: HeadValues(rows: scales.map { [$0] })))
  }
}
