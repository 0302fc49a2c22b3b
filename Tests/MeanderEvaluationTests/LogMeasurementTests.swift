import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

/// `lab log`.
@Suite struct LogMeasurementTests {
  private let folder = TemporaryFolder()

  private func log(_ lines: Int) throws -> String {
    var generator = TaskGenerator(seed: 8)
    let text = (0..<lines).map { line in
      "2024-05-01 10:00:\(10 + line % 50) \(generator.pick(["install", "remove", "status"])) \(generator.pick(["bash", "tar", "perl"])):amd64 1.\(line % 7)\n"
    }
    try AtomicFile.write(folder("app.log"), bytes: Array(text.joined().utf8))
    return folder("app.log")
  }

  @Test func anNGramThatLearnedTheLogFindsWhatIsForeign() async throws {
    let measurement = LogMeasurement(logs: [try log(600)], lines: 600, samples: 1)
    let run = MeasurementRun(measurement, try await subject("reader"), seed: 1, folder: folder("out"))
    let rows = try await run.run().report["results"]?.array ?? []
    #expect(rows.compactMap { $0["series"]?.string } == ["model", "n-gram", "mixed"])
    let ngram = try #require(rows.first { $0["series"]?.string == "n-gram" })
    #expect(ngram["auc"]?.double ?? 0 > 0.95, "\(ngram)")
    #expect(ngram["kinds_in_top_20"]?.double ?? 0 >= 6, "\(ngram)")
    let mixed = try #require(rows.first { $0["series"]?.string == "mixed" })
    let bits = rows.compactMap { $0["bits_a_byte"]?.double }
    #expect(bits[2] < bits[0] && bits[2] < bits[1] * 1.05, "\(bits)")
    #expect(mixed["auc"]?.double ?? 0 > 0.9, "\(mixed)")
  }

  @Test func aLogThatIsTooShortIsRefused() async throws {
    let measurement = LogMeasurement(logs: [try log(50)], lines: 600, samples: 1)
    let run = MeasurementRun(measurement, try await subject("reader"), seed: 1, folder: folder("out"))
    await #expect(throws: MeanderError.self) { try await run.run() }
  }

  @Test func everyKindOfForeignLineIsOneLine() {
    var generator = TaskGenerator(seed: 1)
    for kind in ForeignLine.allCases {
      let (first, second) = (kind.draw(using: &generator), kind.draw(using: &generator))
      #expect(first != second && !first.contains("\n") && first.utf8.count > 20)
    }
  }
}
