import Meander
import MeanderEvaluation
import MeanderTasks
import MeanderTestSupport
import Synchronization
import Testing

/// Lines of a made-up log: text of its own, never the same twice, and the same in every run.
private func filler() -> @Sendable (Int, Int) -> [UInt8] {
  let words = ["disk", "network", "kernel", "service", "started", "stopped", "after", "before", "ready", "slow"]
  let generator = Mutex(SeededGenerator(seed: 23))
  return { _, count in
    generator.withLock { generator in
      var text = ""
      while text.utf8.count < min(count, 4096) {
        let (first, second) = (words.randomElement(using: &generator), words.randomElement(using: &generator))
        text += "The \(first ?? "") was \(second ?? "") again.\n"
      }
      return Array(text.utf8.prefix(count))
    }
  }
}

@Test func theShippedModelRecallsWhatItRead() async throws {
  let model = try await Model.load("passkey", engine: Engine())
  let measured = try await PasskeyMeasurement(length: 8_000, samples: 10, questionSuffix: " ").run(model, filler: filler())
  #expect(measured.hits >= 8, "\(measured.hits) of \(measured.samples)")
}

@Test func aModelWithoutTheSkillIsNotCreditedWithIt() async throws {
  let model = try await Model.load("reader", engine: Engine())
  let measured = try await PasskeyMeasurement(length: 4_000, samples: 5, questionSuffix: " ").run(model, filler: filler())
  #expect(measured.hits == 0)
}
