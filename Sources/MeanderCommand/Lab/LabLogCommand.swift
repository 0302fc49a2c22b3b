import ArgumentParser
import MeanderEvaluation

struct LabLogCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "log",
    abstract: "How well foreign lines are found in logs: the model, an n-gram, and both mixed.",
    usage: "meander lab log -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab log",
      """
      Ten kinds of foreign line are put into each log behind its first tenth, three times each. Reported are the \
      area under the curve for the first of each kind among the log's own lines, and how many kinds are among the \
      twenty highest scores; scores are those of stream --emit surprisal. The n-gram has order 5, knows nothing at \
      first, and learns as it reads.
      """))

  @OptionGroup var lab: LabOptions

  @Option(
    name: .customLong("log"), help: ArgumentHelp("A log of at least 200 lines; may be repeated.", valueName: "file"))
  var logs: [String] = []

  @Option(help: "How many lines are read of each, from its beginning.")
  var lines = 3500

  @Option(help: "How often each log is read, with foreign lines drawn anew.")
  var samples = 5

  func validate() throws {
    if logs.isEmpty { throw ValidationError("Please name a log with --log.") }
    guard (200...10_000_000).contains(lines), (1...1000).contains(samples) else {
      throw ValidationError("Please give --lines from 200, and --samples from 1 to 1000.")
    }
  }

  func run() async throws {
    try await lab.run(
      LogMeasurement(logs: logs, lines: lines, samples: samples), on: lab.subject(),
      columns: ["log", "series", "length", "samples", "auc", "low", "high", "kinds_in_top_20", "bits_a_byte"])
  }
}
