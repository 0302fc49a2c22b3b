import Meander
import MeanderFiles
import MeanderTasks

/// One haystack for a cascade: what is read, what is asked, and what should be answered.
struct CascadeSample {
  let question: String
  let answer: String
  private let example: Example
  private let run: any FillerRun
  private let closesLines: Bool

  /// Sample `number` at a length: an example of `task` whose bytes up to its first answer are about `length`.
  init(_ task: any RecallTask, length: Int, number: Int, seed: UInt64, filler: any Filler) throws {
    var generator = TaskGenerator(seed: seed, sample: UInt64(length) << 24 | UInt64(number))
    let depth = generator.uniform()
    var draft = generator.fork()
    var again = draft
    let least = try task.example(filler: 0, depth: depth, using: &draft)
    let rest = least.byteCount - (least.answers.last?.count ?? 0)
    example = try task.example(filler: max(0, length - rest), depth: depth, using: &again)
    let own = task.filler
    closesLines = own == nil
    let share = (0.5 + Double(number) * 0.6180339887498949).truncatingRemainder(dividingBy: 1)
    run = try own?.run(generator.fork()) ?? filler.run(generator.fork(), at: share)
    // What stands between the last filler and the first answer is the question.
    var (asked, said) = ([UInt8](), [UInt8]())
    for piece in example.pieces where said.isEmpty {
      switch piece {
      case .text(let bytes), .echo(let bytes): asked += bytes
      case .filler: asked = []
      case .answer(let bytes): said = bytes
      }
    }
    question = String(decoding: asked, as: UTF8.self)
    answer = String(decoding: said, as: UTF8.self)
  }

  /// Visits what stands before the question, in pieces.
  func read(_ visit: ([UInt8]) async throws -> Void) async throws {
    var reader = ExampleReader(example, filler: run, closesLines: closesLines)
    var held: [UInt8] = []
    while let part = try reader.next() {
      switch part {
      case .answer: return
      case .filler(let bytes):
        try await visit(held + bytes)
        held = []
      case .text(let bytes), .echo(let bytes): held += bytes
      }
    }
  }

  /// The longest answer that is judged.
  func maximumTokens(_ models: [Model]) -> Int {
    max(5, models.map { $0.tokenizer.encode(answer).count }.max() ?? 0)
  }

  func isRight(_ said: String) -> Bool { Scoring.contains(said, answer) }
}

/// A deferral rule whose threshold is found on samples of a task.
package struct DeferralCalibration: Sendable {
  package var task: any RecallTask
  package var lengths: [Int]
  /// For each length.
  package var samples: Int
  package var seed: UInt64
  package var filler: any Filler

  package init(task: any RecallTask, lengths: [Int], samples: Int, seed: UInt64, filler: any Filler) {
    (self.task, self.lengths, self.samples, self.seed, self.filler) = (task, lengths, samples, seed, filler)
  }

  /// What was found.
  package struct Result: Sendable {
    package let rule: DeferralRule
    package let samples: Int
    package let right: Int
  }

  /// Has the model answer every sample, and sets the rule so that it would defer the share `budget` of them.
  ///
  /// - Parameter visit: told of each sample: how many are done, and of how many.
  package func calibrate(
    _ rule: DeferralRule, of model: Model, budget: Double, visit: (Int, Int) throws -> Void
  ) async throws -> Result {
    var answers: [(logProbabilities: [Double], isRight: Bool)] = []
    let count = lengths.count * samples
    for length in lengths {
      for number in 0..<samples {
        let sample = try CascadeSample(task, length: length, number: number, seed: seed, filler: filler)
        let session = try Session(model)
        try await sample.read { try await session.feed(bytes: $0) }
        try await session.feed(sample.question)
        var (text, logProbabilities) = ("", [Double]())
        let tokens = session.generate(SamplingOptions(), maximumTokens: sample.maximumTokens([model]), stop: ["\n"])
        for try await token in tokens {
          text += token.text
          logProbabilities.append(token.logProbability)
        }
        answers.append((logProbabilities, sample.isRight(text)))
        try visit(answers.count, count)
      }
    }
    return Result(
      rule: rule.calibrated(on: answers, budget: budget), samples: answers.count, right: answers.count { $0.isRight })
  }
}
