import Glibc
import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderModelNeedles
import MeanderTasks
import MeanderTestSupport
import Testing

/// `lab recall`, `lab remembrance` and `lab check`.
@Suite struct RecallMeasurementTests {
  private let folder = TemporaryFolder()

  @Test func everyTaskIsAskedAndCounted() async throws {
    let measurement = TaskMeasurement(
      TaskMeasurement.standard, lengths: [700], samples: 2, filler: RepeatedFiller.classic, fillerName: "classic")
    let run = MeasurementRun(measurement, try await subject("passkey", streams: 2), seed: 1, folder: folder("out"))
    let report = try await run.run().report
    for series in TaskMeasurement.standard {
      let found = try #require(row(report, series.name, 700), "\(series.name)")
      #expect(found["samples"]?.integer == 2)
    }
    // Four pairs are asked for in each sample; four values, and four names.
    for name in ["mqar-4", "needle-multivalue", "needle-multiquery"] {
      #expect(row(report, name, 700)?["answers"]?.integer == 8, "\(name)")
    }
    #expect(row(report, "variable-tracking", 700)?["answers"]?.integer == 10)
    // What the model never learned is not to be had by the way of judging.
    for name in ["mqar-64", "selective-copying"] {
      #expect(row(report, name, 700)?["accuracy"]?.double ?? 1 < 0.3, "\(name)")
    }
  }

  /// A model cannot be better than chance where what is asked for was never said, and is right by chance where there
  /// are two answers.
  @Test func exactAnswersAreJudgedTokenByToken() async throws {
    let subject = try await subject("passkey")
    let series = RecallSeries("induction", InductionHeads(alphabet: 2), rule: .exact)
    let measurement = TaskMeasurement(
      [series], lengths: [300], samples: 8, filler: RepeatedFiller.classic, fillerName: "classic")
    let report = try await MeasurementRun(measurement, subject, seed: 3, folder: folder("exact")).run().report
    // The same by hand: what the model holds for likeliest behind the example's text.
    var hits = 0
    for number in 0..<8 {
      let outcome = try await measurement.measure(number, on: LabStream(subject, seed: 3))
      hits += outcome["answers"]?.array?.first?["hits"]?.integer ?? 0
    }
    #expect(row(report, "induction", 300)?["hits"]?.integer == hits)
    #expect(row(report, "induction", 300)?["answers"] == nil)
  }

  @Test func tasksTakeOptionsAsRecipesDo() throws {
    #expect(try TaskMeasurement.series(task: "needles", options: #"{"keys": 2, "values": 3}"#).rule == .share)
    #expect(try TaskMeasurement.series(task: "mqar", options: #"{"pairs": 8}"#).rule == .exact)
    #expect(throws: MeanderError.self) { try TaskMeasurement.series(task: "mqar", options: #"{"pears": 8}"#) }
    #expect(throws: MeanderError.self) { try TaskMeasurement.series(["induction", "nothing"]) }
  }

  /// Four names with their numbers in a licence of 11 KB, and a question for one of them.
  @Test func needlesGivesNamedNumbersBack() async throws {
    let licence = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/LICENSE"
    let series = try TaskMeasurement.series(task: "needles", options: #"{"statements": "fixed"}"#)
    let measurement = TaskMeasurement(
      [series], lengths: [8192], samples: 20, filler: try TextFiller([licence]), fillerName: "LICENSE")
    let subject = try await subject("needles", streams: 2)
    let report = try await MeasurementRun(measurement, subject, seed: 1, folder: folder("needles")).run().report
    #expect(row(report, series.name, 8192)?["hits"]?.integer ?? 0 >= 18)
  }

  @Test func remembranceIsTheDistanceOfPredictions() async throws {
    var text = logFiller.run(TaskGenerator(seed: 4))
    try AtomicFile.write(folder("log.txt"), bytes: try text.next(4000))
    let filler = try TextFiller([folder("log.txt")])
    let subject = try await subject("passkey")
    let measurement = RemembranceMeasurement(text: filler, textName: "log", streams: 2, length: 300)
    let report = try await MeasurementRun(measurement, subject, seed: 1, folder: folder("out")).run().report
    let rows = report["results"]?.array ?? []
    #expect(rows.compactMap { $0["length"]?.integer } == [1, 4, 16, 44, 64, 236, 256, 284, 296, 299])
    // By hand for the last 64 tokens.
    var distances: [Double] = []
    for stream in 0..<2 {
      let first = try filler.lineStart(from: stream * 2000)
      let bytes = try filler.bytes(from: first, count: 300)
      let (whole, part) = try await (
        probabilities(bytes, subject.model), probabilities(Array(bytes.suffix(64)), subject.model)
      )
      distances.append(zip(whole, part).reduce(0) { $0 + abs($1.0 - $1.1) } / 2)
    }
    let found = try #require(rows.first { $0["length"]?.integer == 64 }?["distance"]?.double)
    #expect(abs(found - (distances[0] + distances[1]) / 2) < 1e-6)
  }

  private func probabilities(_ bytes: [UInt8], _ model: Model) async throws -> [Double] {
    let session = try Session(model)
    try await session.feed(bytes: bytes)
    let logits = try await session.logits().map { Double($0) }
    let largest = logits.max() ?? 0
    let weights = logits.map { exp($0 - largest) }
    return weights.map { $0 / weights.reduce(0, +) }
  }

  @Test func aCheckHasALineForEachPromise() async throws {
    let measurement = try CheckMeasurement(
      text: nil, textName: "", longest: 4096, samples: 1, filler: RepeatedFiller.classic, fillerName: "classic",
      trainedLength: 2048, isLanguageModel: false)
    let run = MeasurementRun(measurement, try await subject("passkey", streams: 2), seed: 1, folder: folder("check"))
    let report = try await run.run().report
    let checks = report["checks"]?.array ?? []
    let names = checks.compactMap { $0["check"]?.string }
    #expect(names.count == 2 + 4 + 12, "\(names)")
    #expect(checks.first?["passed"]?.bool == true)
    let passed = checks.allSatisfy { $0["passed"]?.bool == true }
    #expect(report["passed"]?.bool == passed)
    // What passes is what its row says.
    for check in checks where check["bound"]?.string == ">= 0.95" {
      #expect(check["passed"]?.bool == (check["value"]?.double ?? 0 >= 0.95))
    }
  }
}
