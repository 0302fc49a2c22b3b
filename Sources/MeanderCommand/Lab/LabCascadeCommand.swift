import ArgumentParser
import Meander
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabCascadeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "cascade",
    abstract: "Needles answered by a reader with a fallback: accuracy against the share of questions that are deferred.",
    usage: "meander lab cascade --fallback <model> -o <folder>",
    discussion: Examples.discussion(
      "lab cascade",
      """
      Every haystack is read once and asked of both, so one run gives the curve of every deferral rule, and of deferring at \
      random: the area under it is the mean accuracy over all shares. What was read a second time is counted.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var filler: FillerOptions

  @Option(help: ArgumentHelp("The model that is asked where the reader is not certain.", valueName: "model"))
  var fallback: String

  @Option(help: ArgumentHelp("How many names have numbers, set apart by commas.", valueName: "counts"))
  var keys = "1,4,16"

  @Option(help: ArgumentHelp("The task's other options, as recipes have them.", valueName: "json"))
  var options = "{}"

  @Option(
    help: ArgumentHelp("Bytes up to the answer: 1K, 64K,1M, or 1K..1M (by factors of four).", valueName: "lengths"))
  var lengths = Lengths([1 << 16, 1 << 18, 1 << 20])

  @Option(help: "How many for each number of keys and length.")
  var samples = 20

  @Option(help: ArgumentHelp("What the fallback reads, as in ask.", valueName: "candidates|all|last"))
  var score = CascadeOptions.Scoring.candidates

  @Option(help: ArgumentHelp("Read at most so much of the input again for a question.", valueName: "size"))
  var rereadBytes: ByteSize?

  @Option(help: ArgumentHelp("How many tokens the fallback reads at a time.", valueName: "n"))
  var fallbackTokens: Int?

  func validate() throws {
    guard (2...100_000).contains(samples) else { throw ValidationError("Please give --samples a number from 2 to 100000.") }
    let counts = keys.split(separator: ",").map { Int($0) ?? 0 }
    guard !counts.isEmpty, counts.allSatisfy({ (1...100).contains($0) }) else {
      throw ValidationError("Please give --keys numbers from 1 to 100, set apart by commas.")
    }
  }

  func run() async throws {
    let subject = try await lab.subject()
    var fallbacks: [Model] = []
    for model in subject.models {
      fallbacks.append(
        try await Model.load(fallback, engine: model.engine, compute: lab.model.compute?.value, context: lab.model.context.bound))
    }
    var cascade = CascadeOptions()
    cascade.scoring = score
    cascade.tokens = fallbackTokens
    cascade.rereadBytes = rereadBytes.map { Int64($0.bytes) }
    let measurement = try CascadeMeasurement(
      fallbacks: fallbacks, keys: keys.split(separator: ",").compactMap { Int($0) }, lengths: lengths.values, samples: samples,
      options: cascade, taskOptions: options, filler: try filler.filler(), fillerName: filler.name)
    try await lab.run(
      measurement, on: subject,
      columns: ["series", "length", "samples", "accuracy", "low", "high", "reread_share", "seconds_reading", "seconds_scoring"],
      more: [(key: "rules", columns: ["series", "length", "rule", "area"])])
  }
}
