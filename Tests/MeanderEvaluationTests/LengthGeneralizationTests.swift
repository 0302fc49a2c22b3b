import Meander
import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

@Suite struct LengthGeneralizationTests {
  private let folder = TemporaryFolder()

  /// Every scheme but the long convolution, which this program is not linked with, trains on a task and answers longer ones; a run that
  /// was stopped goes on with its models.
  @Test func everySchemeTrainsAndIsAsked() async throws {
    func measurement(_ names: [String]) -> LengthGeneralizationMeasurement {
      var measurement = LengthGeneralizationMeasurement(
        schemes: LengthGeneralizationMeasurement.schemes.filter { names.contains($0.name) },
        kinds: LengthGeneralizationMeasurement.kinds.filter { ["copying", "associative recall"].contains($0.name) }, seeds: 2, steps: 2,
        lengths: [16, 48], samples: 2, work: folder("models"))
      (measurement.batch, measurement.trained, measurement.width, measurement.layers) = (2, 24, 16, 1)
      return measurement
    }
    let names = LengthGeneralizationMeasurement.schemes.map(\.name).filter { $0 != "Hyena" }
    #expect(names.count == 8)
    let run = MeasurementRun(measurement(names), LabSubject(streams: 2), seed: 1, folder: folder("out"))
    let report = try await run.run().report
    let rows = try #require(report["results"]?.array)
    #expect(rows.count == 8 * 2 * 2)
    #expect(rows.allSatisfy { $0["seeds"]?.integer == 2 && (0...1).contains($0["accuracy"]?.double ?? -1) })
    // A whole answer's bytes are all right; models that learned nothing still hit a byte now and then.
    #expect(rows.allSatisfy { ($0["bytes"]?.double ?? -1) >= ($0["accuracy"]?.double ?? 0) })
    #expect(rows.contains { ($0["bytes"]?.double ?? 0) > ($0["accuracy"]?.double ?? 1) })
    #expect(report["machine_hours"]?.double != nil)
  }
}
