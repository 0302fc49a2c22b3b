import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

/// Losses of the lab, against those that a session gives for the same bytes.
@Suite struct LanguageMeasurementTests {
  private let folder = TemporaryFolder()

  /// Two files of lines, a text of 8,000 bytes.
  private func text() throws -> TextFiller {
    var run = logFiller.run(TaskGenerator(seed: 4))
    try AtomicFile.write(folder("a.txt"), bytes: try run.next(5000))
    try AtomicFile.write(folder("b.txt"), bytes: try run.next(3000))
    return try TextFiller([folder("a.txt"), folder("b.txt")])
  }

  private func bits(_ bytes: [UInt8], after past: [UInt8] = [], _ model: Model) async throws -> Double {
    let session = try Session(model)
    try await session.feed(bytes: past)
    try await session.finishInput()
    return try await session.score(bytes: bytes, isFinal: true).reduce(0) { $0 + $1.bits }
  }

  @Test func aCorpusIsReadAcrossItsFiles() throws {
    let text = try text()
    let whole = bytes(folder("a.txt")) + bytes(folder("b.txt"))
    #expect(try text.bytes(from: 4990, count: 20) == Array(whole[4990..<5010]))
    #expect(try text.bytes(from: 7990, count: 100) == Array(whole[7990...]))
    #expect(try text.bytes(from: 9000, count: 1).isEmpty)
    let start = try text.lineStart(from: 100)
    #expect(
      start > 100 && whole[start - 1] == UInt8(ascii: "\n") && !whole[100..<start - 1].contains(UInt8(ascii: "\n")))
  }

  @Test func aCarriedStreamAndOneBegunAnewAreWhatASessionScores() async throws {
    let subject = try await subject("reader", streams: 2)
    let text = try text()
    let measurement = try LossMeasurement(text: text, textName: "log", streams: 2, length: 1500,
      readings: [.carried, .begunAnew(every: 500), .strided(window: 700, stride: 500)])
    let report = try await MeasurementRun(measurement, subject, seed: 1, folder: folder("out")).run().report
    var carried = 0.0
    var anew = 0.0
    var strided = 0.0
    for stream in 0..<2 {
      let start = try text.lineStart(from: stream * 4000)
      carried += try await bits(text.bytes(from: start, count: 1500), subject.model)
      for part in 0..<3 {
        let piece = try text.bytes(from: start + 500 * part, count: 500)
        anew += try await bits(piece, subject.model)
        let past = part == 0 ? [] : try text.bytes(from: start + 500 * part - 200, count: 200)
        strided += try await bits(piece, after: past, subject.model)
      }
    }
    let overall = report["overall"]?.array ?? []
    #expect(abs((overall[0]["bits_per_byte"]?.double ?? 0) * 3000 - carried) < 1e-6 * carried)
    #expect(abs((overall[1]["bits_per_byte"]?.double ?? 0) * 3000 - anew) < 1e-6 * anew)
    #expect(abs((overall[2]["bits_per_byte"]?.double ?? 0) * 3000 - strided) < 1e-6 * strided)
    #expect(anew > strided && strided > carried && overall[0]["bytes"]?.integer == 3000)
    let buckets = (report["results"]?.array ?? []).filter { $0["series"]?.string == "carried" }
    #expect(buckets.compactMap { $0["length"]?.integer } == [128, 256, 512, 1024, 1500])
    #expect(buckets.allSatisfy { $0["samples"]?.integer == 2 })
    #expect(throws: MeanderError.self) {
      try LossMeasurement(text: text, textName: "log", streams: 9, length: 1000, readings: [.carried])
    }
  }

  @Test func windowsAreScoredAfterTheirOwnPast() async throws {
    let subject = try await subject("reader")
    let text = try text()
    let measurement = try ContextMeasurement(
      text: text, textName: "log", contexts: [256, 2048], windows: 3, window: 400, baseline: 1024)
    let run = MeasurementRun(measurement, subject, seed: 1, folder: folder("context"))
    let rows = try await run.run().report["results"]?.array ?? []
    #expect(rows.compactMap { $0["length"]?.integer } == [256, 1024, 2048])
    var means: [Double] = []
    for context in [256, 1024, 2048] {
      var sum = 0.0
      for window in 0..<3 {
        let room = 8000 - 2048 - 800
        let first = try text.lineStart(from: 2048 + Int((Double(window) + 0.5) / 3 * Double(room)))
        sum += try await bits(
          text.bytes(from: first, count: 400), after: text.bytes(from: first - context, count: context), subject.model)
      }
      means.append(sum / 1200)
    }
    for (row, mean) in zip(rows, means) { #expect(abs((row["bits_per_byte"]?.double ?? 0) - mean) < 1e-9) }
    #expect(rows[1]["change"]?.double == 0 && rows[1]["change_high"]?.double == 0)
    #expect(abs((rows[2]["change"]?.double ?? 0) - (means[2] - means[1]) / means[1]) < 1e-9)
    #expect(throws: MeanderError.self) {
      try ContextMeasurement(text: text, textName: "log", contexts: [8000], windows: 3, window: 400, baseline: 256)
    }
  }

  @Test func curesAreComparedWithinWindows() async throws {
    let plain = try await subject("passkey", streams: 2)
    let reset = try LabSubject([
      await Model.load("passkey", engine: Engine(threads: 1), mitigations: [Mitigation("reset:every=512,keep=0")])
    ])
    let text = try text()
    let measurement = try CureMeasurement(
      plain: plain, reset: reset, cures: [.init("the same", plain)], text: text, textName: "log", trained: 512,
      contexts: [2048], windows: 3, window: 400, recall: ([600], 2, text))
    let report = try await MeasurementRun(measurement, plain, seed: 1, folder: folder("cures")).run().report
    let rows = report["results"]?.array ?? []
    func bits(_ series: String, _ length: Int) -> Double {
      rows.first { $0["series"]?.string == series && $0["length"]?.integer == length }?["bits_per_byte"]?.double ?? .nan
    }
    let context = try ContextMeasurement(
      text: text, textName: "log", contexts: [2048], windows: 3, window: 400, baseline: 512)
    for (series, subject) in [("none", plain), ("begun anew", reset), ("the same", plain)] {
      let alone = try await MeasurementRun(context, subject, seed: 1, folder: folder(series)).run().report
      #expect((alone["results"]?.array ?? []).compactMap { $0["bits_per_byte"]?.double } == [512, 2048].map { bits(series, $0) })
    }
    let cure = try #require(report["cures"]?.array?.last)
    #expect(cure["cost_when_short"]?.double == 0 && cure["cost_when_short_high"]?.double == 0)
    let against = bits("the same", 2048) / bits("begun anew", 2048) - 1
    #expect(abs((cure["against_begun_anew"]?.double ?? 1) - against) < 1e-9)
    #expect(abs((cure["against_last_alone"]?.double ?? 1) - (bits("none", 2048) / bits("none", 512) - 1)) < 1e-9)
    // Begun anew, a state is no better than itself.
    #expect(report["cures"]?.array?[1]["against_begun_anew"]?.double == 0)
    #expect(report["cures"]?.array?[1]["beats_both"]?.bool == false)
    #expect(report["keys"]?.array?.map { $0["samples"]?.integer } == [2, 2, 2])
    #expect(throws: MeanderError.self) {
      try CureMeasurement(
        plain: plain, reset: reset, cures: [.init("none", plain)], text: text, textName: "log", trained: 512,
        contexts: [2048], windows: 3, window: 400, recall: nil)
    }
  }

  @Test func windowsCanShareTheBeginningOfTheirPast() async throws {
    let subject = try await subject("reader")
    let text = try text()
    let measurement = try ContextMeasurement(
      text: text, textName: "log", contexts: [2048], windows: 3, window: 400, baseline: 256, own: 256)
    let run = MeasurementRun(measurement, subject, seed: 1, folder: folder("shared"))
    let rows = try await run.run().report["results"]?.array ?? []
    #expect(rows.compactMap { $0["length"]?.integer } == [256, 2048])
    for (row, context) in zip(rows, [256, 2048]) {
      var (sum, fewest) = (0.0, Int.max)
      for window in 0..<3 {
        let room = 8000 - 2048 - 800
        let first = try text.lineStart(from: 2048 + Int((Double(window) + 0.5) / 3 * Double(room)))
        let session = try Session(subject.model)
        for past in [0..<context - 256, first - 256..<first] {
          try await session.feed(bytes: text.bytes(from: past.lowerBound, count: past.count))
          try await session.finishInput()
        }
        fewest = min(fewest, Int(session.position))
        let scores = try await session.score(bytes: text.bytes(from: first, count: 400), isFinal: true)
        sum += scores.reduce(0) { $0 + $1.bits }
      }
      #expect(abs((row["bits_per_byte"]?.double ?? 0) - sum / 1200) < 1e-9)
      #expect(row["past_tokens"]?.integer == fewest)
    }
    #expect(throws: MeanderError.self) {
      try ContextMeasurement(
        text: text, textName: "log", contexts: [2048], windows: 3, window: 400, baseline: 256, own: 512)
    }
  }

  @Test func theGaugeIsReadWherePositionsDouble() async throws {
    let subject = try await subject("passkey")
    let measurement = try CollapseMeasurement(
      text: text(), textName: "log", streams: 1, length: 3000, newlines: 1500, trainedLength: 1024)
    let report = try await MeasurementRun(measurement, subject, seed: 1, folder: folder("collapse")).run().report
    let heads = (report["heads"]?.array ?? []).filter { $0["layer"]?.integer == 0 && $0["head"]?.integer == 0 }
    let session = try Session(subject.model)
    let start = try text().lineStart(from: 0)
    _ = try await session.score(bytes: text().bytes(from: start, count: 3000), isFinal: true)
    #expect(heads.compactMap { $0["position"]?.integer } == [512, 1024, 2048, Int(session.position)])
    #expect(heads.compactMap { $0["norm"]?.double }.last == (try await session.gauge()).layers[0].heads[0].norm)
    #expect(report["text_rise"]?["ratio"]?.double ?? 0 > 0)
    #expect(Set((report["results"]?.array ?? []).compactMap { $0["series"]?.string }) == ["text", "newlines"])
  }
}

/// Which heads are said to collapse.
@Suite struct HeadTests {
  /// A head by its norm and its logarithm of retention at 512, 1024, 2048 and 4096 tokens.
  private func report(_ heads: [[(Double, Double)]]) throws -> JSON {
    let samples = (0..<4).map { place in
      JSON([
        ("position", JSON(512 << place)),
        ("layers", .array([.array(heads.map { .array([JSON($0[place].0), JSON(1.0), JSON($0[place].1)]) })])),
      ])
    }
    let loss = JSON([
      ("bits", .array([JSON(1.0)])), ("bytes", .array([JSON(128)])), ("tokens", .array([JSON(128)])), ("alarm", .null),
    ])
    let measurement = try CollapseMeasurement(
      text: nil, textName: "", streams: 0, length: 0, newlines: 4096, trainedLength: 1024)
    return JSON(measurement.report([JSON([("loss", loss), ("samples", .array(samples))])]))
  }

  @Test func keepingAndGrowingAreBothNeeded() throws {
    let growing = [(1.0, -0.3), (1.5, -0.6), (2.9, -1.2), (3.1, -2.4)]
    let forgetting = [(1.0, -0.4), (1.5, -0.8), (2.9, -1.6), (3.1, -3.2)]
    let steady = [(1.0, 0.0), (1.5, 0.0), (2.9, 0.0), (2.9, 0.0)]
    let found = try report([growing, forgetting, steady])["collapsing"]?.array ?? []
    #expect(found.compactMap { $0["head"]?.integer } == [0])
    #expect(found.first?["position"]?.integer == 4096)
    #expect(abs((found.first?["norm_over_trained"]?.double ?? 0) - 3.1 / 1.5) < 1e-12)
  }
}
