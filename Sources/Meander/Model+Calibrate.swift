import MeanderErrors
import MeanderModels

extension Model {
  /// Finds the free values of a mitigation on samples of tokens, as many in each. O(tokens · steps of the search), on
  /// the engine's thread; nothing else computes there meanwhile.
  ///
  /// - Parameter report: told of each step, now and then with an empty text; what it throws ends the search.
  package func calibrate(
    _ mitigation: Mitigation, samples: [[Int32]], options: CalibrationOptions,
    report: @escaping @Sendable (String) throws -> Void
  ) async throws -> CalibrationResult {
    try await engine.perform { [self] isCancelled -> Calibrated? in
      if isCancelled { throw MeanderError(.cancelled, "calibrating was cancelled", at: mitigation.name) }
      let calibration = try Calibration(
        model: language.mitigated(by: []), kernels: kernels, workspace: workspace, samples: samples, options: options,
        report: report)
      return Calibrated(result: try mitigation.method.calibrated(calibration))
    }.result
  }
}

private struct Calibrated: Sendable {
  let result: CalibrationResult
}
