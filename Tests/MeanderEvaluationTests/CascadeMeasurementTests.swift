import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderModelPasskey
import MeanderModelReader
import MeanderTasks
import MeanderTestSupport
import Testing

@Suite struct CascadeMeasurementTests {
  private let folder = TemporaryFolder()

  /// A whole run, stopped after its first unit and gone on with, gives the report of a run that never stopped; each outcome tells what both
  /// said and what was read again.
  @Test func measuresBothAndGoesOn() async throws {
    let engine = try Engine(threads: 1)
    let model = try await Model.load("passkey", engine: engine)
    let measurement = try CascadeMeasurement(
      fallbacks: [model], keys: [2, 1], lengths: [1024], samples: 3, options: CascadeOptions(), taskOptions: #"{"statements": "fixed"}"#,
      filler: RepeatedFiller.classic, fillerName: "classic")
    let whole = try await MeasurementRun(measurement, LabSubject([model]), seed: 3, folder: folder("whole")).run().report
    let rows = try #require(whole["results"]?.array)
    #expect(rows.compactMap { $0["series"]?.string } == ["reader, 1 key", "cascade, 1 key", "reader, 2 keys", "cascade, 2 keys"])
    #expect(rows.allSatisfy { $0["samples"]?.integer == 3 && $0["reread_share"]?.double ?? 0 > 0 })
    #expect(whole["rules"]?.array?.count == 2 * 6 && whole["panels"]?.array?.count == 2)
    #expect(FileStatus(folder("whole/report.svg")) != nil)
    let other = try await MeasurementRun(measurement, LabSubject([model]), seed: 3, folder: folder("again")).run().report
    #expect(rows.map { $0["accuracy"]?.double } == other["results"]?.array?.map { $0["accuracy"]?.double })
  }

  @Test func unknownOptionsOfTheTaskAreRefused() async throws {
    let model = try await Model.load("passkey", engine: Engine(threads: 1))
    #expect(throws: MeanderError.self) {
      try CascadeMeasurement(
        fallbacks: [model], keys: [1], lengths: [1024], samples: 2, options: CascadeOptions(), taskOptions: #"{"colour": 1}"#,
        filler: RepeatedFiller.classic, fillerName: "classic")
    }
  }

  /// Four questions, of which the reader knows two and the fallback all; a rule that knows which gains all at once, one that has it the
  /// wrong way round loses the area of a triangle, and where all are alike the curve is that of deferring at random.
  @Test func curvesAreThoseOfTheirOrder() {
    func curves(_ confidence: [Double]) -> [String: Double] {
      let outcomes = confidence.enumerated().map { place, value in
        CascadeOutcome(own: place < 2, other: true, isAlarm: false, logProbabilities: [value])
      }
      return Dictionary(uniqueKeysWithValues: DeferralCurve.all(of: outcomes).map { ($0.name, $0.area) })
    }
    let (right, wrong, alike) = (curves([-1, -1.1, -3, -4]), curves([-4, -3, -1, -1.1]), curves([-2, -2, -2, -2]))
    // 0.5, 0.75, 1, 1, 1 and 0.5, 0.5, 0.5, 0.75, 1.
    #expect(abs((right["Chow's sum"] ?? 0) - (0.625 + 0.875 + 1 + 1) / 4) < 1e-12)
    #expect(abs((wrong["Chow's sum"] ?? 0) - (0.5 + 0.5 + 0.625 + 0.875) / 4) < 1e-12)
    #expect(abs((alike["quantile"] ?? 0) - 0.75) < 1e-12 && alike["random"] == 0.75 && right["random"] == 0.75)
  }

  /// The rule that is found defers the share that was asked for.
  @Test func aThresholdIsCalibratedOnNeedles() async throws {
    let model = try await Model.load("passkey", engine: Engine(threads: 1))
    let calibration = DeferralCalibration(
      task: NeedleTask(keys: 1...1, trailingSpace: 0), lengths: [512], samples: 8, seed: 1, filler: RepeatedFiller.classic)
    var seen = 0
    let result = try await calibration.calibrate(DeferralRule(.average), of: model, budget: 0.25) { done, all in
      seen = done
      #expect(all == 8)
    }
    #expect(result.samples == 8 && seen == 8 && result.rule.threshold.isFinite && result.rule.name == "average")
  }
}
