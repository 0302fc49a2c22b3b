import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Synchronization
import Testing

@Suite struct PasskeyMeasurementTests {
  private func measurement(
    _ questions: [PasskeyMeasurement.Question] = [.wording(.landmark)], lengths: [Int] = [2000, 8000],
    samples: Int = 10,
    depths: RecallDepths = .uniform, filler: any Filler = logFiller
  ) -> PasskeyMeasurement {
    PasskeyMeasurement(questions, lengths: lengths, samples: samples, depths: depths, filler: filler, fillerName: "log")
  }

  @Test func theShippedModelRecallsWhatItRead() async throws {
    let folder = TemporaryFolder()
    let run = MeasurementRun(measurement(), try await subject("passkey", streams: 2), seed: 1, folder: folder("out"))
    let ending = try await run.run()
    #expect(ending.isComplete)
    for length in [2000, 8000] {
      let found = try #require(row(ending.report, "landmark, space", length))
      #expect(found["hits"]?.integer ?? 0 >= 8, "\(found)")
      #expect(found["samples"]?.integer == 10 && found["tokens"]?.integer ?? 0 > length)
      #expect(found["low"]?.double ?? 1 < found["accuracy"]?.double ?? 0)
    }
    #expect(ending.report["mitigations"]?.string == "none")
    #expect(String(decoding: bytes(folder("out/report.svg")), as: UTF8.self).contains("landmark, space"))
  }

  @Test func aModelWithoutTheSkillIsNotCreditedWithIt() async throws {
    let folder = TemporaryFolder()
    let run = MeasurementRun(
      measurement(lengths: [4000], samples: 4), try await subject("reader"), seed: 1, folder: folder("out"))
    let report = try await run.run().report
    for name in ["landmark", "landmark, space"] { #expect(row(report, name, 4000)?["hits"]?.integer == 0) }
  }

  /// The bootstrap model says a number whatever was read: that is no answer, and is counted.
  @Test func anInventedAnswerIsCounted() async throws {
    let folder = TemporaryFolder()
    let run = MeasurementRun(
      measurement([.absent], lengths: [2000], samples: 4), try await subject("passkey"), seed: 1, folder: folder("out"))
    let found = try #require(row(try await run.run().report, "absent, space", 2000))
    let accuracy = try #require(found["accuracy"]?.double)
    let invented = try #require(found["invented"]?.double)
    #expect(accuracy + invented <= 1 && accuracy + invented > 0, "\(found)")
  }

  @Test func aStoppedRunGoesOnToTheSameReport() async throws {
    let folder = TemporaryFolder()
    let subject = try await subject("passkey", streams: 2)
    let measurement = measurement([.wording(.landmark), .keys(2)], lengths: [1000, 3000], samples: 6)
    let whole = MeasurementRun(measurement, subject, seed: 5, folder: folder("whole"))
    _ = try await whole.run()
    let stopped = MeasurementRun(measurement, subject, seed: 5, folder: folder("parts"))
    let seen = Atomic<Int>(0)
    let first = try await stopped.run(shouldStop: { seen.load(ordering: .relaxed) > 0 }) {
      if $0.unitsDone > 2 { seen.store(1, ordering: .relaxed) }
    }
    let outcomes = bytes(folder("parts/outcomes.jsonl"))
    // A line that the kill cut off is no outcome.
    try AtomicFile.write(
      folder("parts/outcomes.jsonl"), bytes: outcomes + Array(#"{"unit": "landmark/1000/"#.utf8))
    let resumed = MeasurementRun(measurement, subject, seed: 5, folder: folder("parts"), resumes: true)
    #expect(try await resumed.run().isComplete)
    #expect(bytes(folder("parts/report.json")) == bytes(folder("whole/report.json")))
    if !first.isComplete { #expect(first.report["complete"]?.bool == false) }
    let other = MeasurementRun(measurement, subject, seed: 6, folder: folder("parts"), resumes: true)
    await #expect(throws: MeanderError.self) { try await other.run() }
  }

  @Test func moreSamplesLeaveThoseThatWereMeasured() async throws {
    let folder = TemporaryFolder()
    let subject = try await subject("passkey", streams: 2)
    _ = try await MeasurementRun(measurement(lengths: [1000], samples: 3), subject, seed: 2, folder: folder("out"))
      .run()
    let more = measurement(lengths: [500, 1000], samples: 5)
    let resumed = try await MeasurementRun(more, subject, seed: 2, folder: folder("out"), resumes: true).run().report
    let fresh = try await MeasurementRun(more, subject, seed: 2, folder: folder("fresh")).run().report
    #expect(resumed.write() == fresh.write())
  }

  @Test func depthsAreAskedForOneByOne() async throws {
    let folder = TemporaryFolder()
    let run = MeasurementRun(
      measurement(lengths: [1000], samples: 2, depths: .fixed([0.1, 0.9])), try await subject("passkey"), seed: 1,
      folder: folder("out"))
    let report = try await run.run().report
    let rows = (report["by_depth"]?.array ?? []).filter { $0["series"]?.string == "landmark" }
    #expect(rows.compactMap { $0["depth"]?.double } == [0.1, 0.9])
    #expect(rows.allSatisfy { $0["samples"]?.integer == 2 })
    #expect(row(report, "landmark", 1000)?["samples"]?.integer == 4)
  }

  @Test func unknownWordingsAreRefused() {
    #expect(throws: MeanderError.self) { try PasskeyMeasurement.questions(["landmark", "mine"]) }
    #expect(throws: Never.self) { try PasskeyMeasurement.questions(["published", "paraphrases", "once", "absent"]) }
  }
}

/// What a report says of samples whose outcomes are known.
@Suite struct RecallReportTests {
  private func outcome(_ hits: Int, offset: Int, filler: Int, document: String = "a", bytes: Int = 100) -> JSON {
    JSON([
      ("depth", JSON(0.5)), ("tokens", JSON(filler)), ("filler_bytes", JSON(filler)), ("document", .string(document)),
      ("document_bytes", JSON(bytes)), ("offset", JSON(offset)), ("corpus_bytes", JSON(1000)),
      ("answers", .array([JSON([("ending", .string("plain")), ("hits", JSON(hits)), ("parts", JSON(1))])])),
    ])
  }

  private func report(_ outcomes: [JSON], length: Int) -> JSON {
    let measurement = RecallMeasurement(
      series: [RecallSeries("s", PasskeyTask())], lengths: [length], samples: outcomes.count, depths: .uniform,
      filler: RepeatedFiller.classic)
    return JSON(measurement.report(outcomes))
  }

  @Test func bytesThatTwoSamplesReadCountOnce() {
    // 20..<80, 60..<120, and 950..<1010, which goes on at the beginning.
    let found = report(
      [outcome(1, offset: 20, filler: 60), outcome(1, offset: 60, filler: 60), outcome(0, offset: 950, filler: 60)],
      length: 60)
    #expect(found["distinct_filler_bytes"]?.integer == 160)
    #expect(found["filler_bytes"]?.integer == 180)
  }

  @Test func samplesOfADocumentAreOneCluster() {
    let outcomes = (0..<20).map { outcome($0 < 10 ? 1 : 0, offset: $0, filler: 10, document: $0 < 10 ? "a" : "b") }
    let found = row(report(outcomes, length: 10), "s", 10)
    #expect(found?["clusters"]?.integer == 2)
    #expect(found?["clustered_low"]?.double ?? 1 < (found?["low"]?.double ?? 0) - 0.1)
  }

  @Test func haystacksLongerThanDocumentsClusterByStretch() {
    // Stretches of 200 bytes: two begin in the first, one in the fourth.
    let outcomes = [10, 150, 700].map { outcome(1, offset: $0, filler: 200, document: "\($0)") }
    #expect(row(report(outcomes, length: 200), "s", 200)?["clusters"]?.integer == 2)
  }
}
