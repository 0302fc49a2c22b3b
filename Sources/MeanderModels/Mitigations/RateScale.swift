import MeanderKernels

/// The spectrum of A, scaled (Mamba Modulation): A' = sA · A, or -|A|^sA; decay changes, insertion does not.
struct RateScale: MitigationMethod {
  static let name = "a-scale"

  /// sA
  var scale: HeadValues
  var form: Mitigation.RateForm

  init(scale: HeadValues, form: Mitigation.RateForm) { (self.scale, self.form) = (scale, form) }

  init(_ settings: inout MitigationSettings) throws {
    form = try settings.word("form") ?? .product
    scale = try settings.perHead("scale") ?? HeadValues(form == .product ? 2 : 0.9)
  }

  var settings: [(key: String, value: String)] { [("scale", scale.text), ("form", form.rawValue)] }

  func apply(to plan: inout MitigationPlan) throws {
    try plan.hold("scale", scale, in: 0.001...1000)
    guard form == .power else {
      return try plan.transform { $0.rateScale *= scale.value(layer: $1, head: $2) }
    }
    let layers = plan.layers
    for (layer, gating) in layers.enumerated() {
      if case .channels = gating { throw plan.unsupported(layer, "every entry has an A of its own: take form=product") }
    }
    try plan.transform { gate, layer, head in
      guard case .heads(let rates, _, _) = layers[layer] else { return }
      gate.rateScale *= exponential((scale.value(layer: layer, head: head) - 1) * logarithm(-rates[head]))
    }
  }
}

extension RateScale {
  /// Simultaneous perturbation of one scale a layer, or a head.
  func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    var result = try calibration.perturb { Mitigation(RateScale(scale: $0, form: form)) }
    result.settings = [("form", form.rawValue)]
    return result
  }
}

extension Mitigation {
  /// How a scale acts on A.
  public enum RateForm: String, CaseIterable, Sendable {
    /// A' = s · A
    case product
    /// A' = -|A|^s
    case power
  }

  /// Decay rates scaled by one number: what is written stays as it was.
  public static func rateScale(_ scale: Double, form: RateForm = .product) -> Mitigation {
    Mitigation(RateScale(scale: HeadValues(scale), form: form))
  }

  /// Decay rates scaled layer by layer.
  public static func rateScale(layers scales: [Double], form: RateForm = .product) -> Mitigation {
    Mitigation(RateScale(scale: HeadValues(rows: scales.map { [$0] }), form: form))
  }
}
