import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct CalibrationTests {
  private let harness: Harness
  private let samples: [[Int32]]
  private let folder = TemporaryFolder()

  init() throws {
    harness = try Harness(Fixture.model("mamba2-groups"))
    // A text that repeats itself, so that memory is worth something.
    let unit = harness.someIDs(40)
    samples = (0..<2).map { start in (0..<256).map { unit[($0 + 7 * start) % unit.count] } }
  }

  private func calibrated(_ text: String, iterations: Int = 6) throws -> (CalibrationResult, CalibrationFile) {
    var options = CalibrationOptions()
    options.iterations = iterations
    let calibration = try Calibration(
      model: harness.model, kernels: harness.kernels, workspace: harness.workspace, samples: samples, options: options
    ) { _ in }
    let mitigation = try Mitigation(text)
    let result = try mitigation.method.calibrated(calibration)
    return (result, CalibrationFile(name: mitigation.name, fingerprint: harness.model.fingerprint, result, notes: []))
  }

  private func written(_ file: CalibrationFile) throws -> Mitigation {
    let path = folder("\(file.name).json")
    try file.write(to: path)
    return try Mitigation("@\(path)")
  }

  @Test(arguments: ["dt-scale", "a-scale", "a-scale:form=power", "rri"])
  func theLossFallsAndTheFileSaysSo(_ text: String) throws {
    let (result, file) = try calibrated(text)
    let loss = try #require(result.loss)
    #expect(loss.after < loss.before)
    let mitigation = try written(file)
    let again = try Calibration(
      model: harness.model, kernels: harness.kernels, workspace: harness.workspace, samples: samples, options: .init()
    ) { _ in }
    #expect(try again.loss(under: [mitigation]) == loss.after)
    #expect(try again.loss(under: []) == loss.before)
  }

  @Test func theSameSeedFindsTheSame() throws {
    #expect(try calibrated("dt-scale").0.values == calibrated("dt-scale").0.values)
  }

  @Test func capsAreTheLargestNorms() throws {
    let (result, file) = try calibrated("state-norm:grid=64")
    var largest = [[Double]](repeating: [Double](repeating: 0, count: 6), count: 3)
    for sample in samples {
      let fresh = try Harness(Fixture.model("mamba2-groups"))
      for start in stride(from: 0, to: sample.count, by: 64) {
        try fresh.read(Array(sample[start..<start + 64]))
        for (layer, heads) in fresh.model.gauge(of: fresh.state, kernels: fresh.kernels).enumerated() {
          for (head, reading) in heads.enumerated() { largest[layer][head] = max(largest[layer][head], reading.norm) }
        }
      }
    }
    #expect(result.values["cap"] == HeadValues(rows: largest))
    let under = try Harness(Fixture.model("mamba2-groups"), [written(file)])
    let plain = try Harness(Fixture.model("mamba2-groups"))
    try under.read(samples[0])
    try plain.read(samples[0])
    expectClose(under.recurrence(0), plain.recurrence(0), "within the calibrated length nothing is capped")
  }

  /// The budget: over S tokens the steps that are kept sum up to what all steps sum up to over the samples' length.
  @Test func thresholdsKeepTheBudget() throws {
    let fixture = try TrainedFixture("mamba2-tied", trainedLength: 64, neverForgets: true)
    let global = try Harness(fixture.files)
    let calibration = try Calibration(
      model: global.model, kernels: global.kernels, workspace: global.workspace, samples: samples, options: .init()
    ) { _ in }
    let result = try Mitigation("token-filter").method.calibrated(calibration)
    #expect(result.values["at.256"]?.rows.joined().allSatisfy { $0 == 0 } == true)
    let thresholds = try ["at.512", "at.1024", "at.4096"].map { try #require(result.values[$0]) }
    for layer in 0..<2 {
      for head in 0..<8 {
        let values = thresholds.map { $0.value(layer: layer, head: head) }
        #expect(values[0] > 0 && values[0] <= values[1] && values[1] <= values[2], "\(values)")
      }
    }
    let file = CalibrationFile(name: "token-filter", fingerprint: global.model.fingerprint, result, notes: [])
    let filtered = try Harness(fixture.files, [written(file)])
    let plain = try Harness(fixture.files)
    let ids = Array(repeating: samples[0], count: 40).joined()
    try filtered.read(Array(ids))
    try plain.read(Array(ids))
    // Retention is the sum of A·dt. At 40 times the length it would be 1 + ln 40 of 40 budgets, but for the first cell
    // of the grid, which is two lengths long, and for the largest steps, which count for more than they were clamped
    // to.
    let (kept, all) = (filtered.doubles("layers.0.retention"), plain.doubles("layers.0.retention"))
    for head in 0..<8 { #expect(kept[head] / all[head] < 0.6, "\(kept[head]) of \(all[head])") }
    #expect((0..<8).reduce(0) { $0 + kept[$1] / all[$1] } / 8 < 0.35)
  }

  /// Heads that forget within the samples are left as they are.
  @Test func localHeadsAreNotFiltered() throws {
    let (result, _) = try calibrated("token-filter")
    let reach = try Harness(Fixture.model("mamba2-groups"))
    try reach.read(samples[0])
    let retention = reach.doubles("layers.0.retention")
    for head in 0..<6 where retention[head] < -6 {
      #expect(result.values["at.4096"]?.value(layer: 0, head: head) == 0)
    }
    #expect(retention.contains { $0 < -6 })
  }

  @Test func anotherModelsFileIsRefused() throws {
    let mitigation = try written(calibrated("state-norm").1)
    let other = try LanguageModel.load(Fixture.model("mamba2-tied"), table: .best, compute: .fp32)
    let error = #expect(throws: MeanderError.self) { try other.mitigated(by: [mitigation]) }
    #expect(error?.code == .mismatch)
    #expect(error?.what.contains(other.fingerprint) == true && error?.what.contains(harness.model.fingerprint) == true)
  }

  @Test(arguments: [
    "{", "[]", "{}", #"{"meander_calibration": 2}"#, #"{"meander_calibration": 1, "mitigation": "rri"}"#,
    #"{"meander_calibration": 1, "mitigation": "rri", "model_fingerprint": "a", "settings": {"retention": 3}}"#,
    #"{"meander_calibration": 1, "mitigation": "dt-scale", "model_fingerprint": "a", "values": {"scale": [[]]}}"#,
    #"{"meander_calibration": 1, "mitigation": "dt-scale", "model_fingerprint": "a", "values": {"scale": [["x"]]}}"#,
    #"{"meander_calibration": 1, "mitigation": "dt-scale", "model_fingerprint": "a", "values": {"other": [[1]]}}"#,
    #"{"meander_calibration": 1, "mitigation": "none", "model_fingerprint": "a"}"#,
  ])
  func damagedFilesAreRefused(_ text: String) throws {
    let path = folder("damaged.json")
    try AtomicFile.write(path, bytes: Array(text.utf8))
    #expect(throws: MeanderError.self) { try Mitigation("@\(path)") }
    #expect(throws: MeanderError.self) { try Mitigation("@\(folder("missing.json"))") }
  }
}
