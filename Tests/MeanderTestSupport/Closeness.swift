import Testing

/// The one error metric: RMS(difference) / RMS(reference), with the tensor named. NaN fails, and so does an empty tensor.
public func expectClose<Value: BinaryFloatingPoint>(
  _ actual: [Value], _ reference: [Value], _ name: String, within bound: Double = 2e-5,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  guard actual.count == reference.count, !reference.isEmpty else {
    Issue.record("\(name): \(actual.count) values against \(reference.count)", sourceLocation: sourceLocation)
    return
  }
  let error = relativeError(actual, reference)
  #expect(error <= bound, "\(name): RMS-relative error \(error) is above \(bound)", sourceLocation: sourceLocation)
}

/// RMS(actual - reference) / RMS(reference), in double precision; NaN where either holds a NaN.
public func relativeError<Value: BinaryFloatingPoint>(_ actual: [Value], _ reference: [Value]) -> Double {
  var difference = 0.0
  var scale = 0.0
  for (a, r) in zip(actual, reference) {
    let d = Double(a) - Double(r)
    difference += d * d
    scale += Double(r) * Double(r)
  }
  return scale == 0 ? difference.squareRoot() : (difference / scale).squareRoot()
}
