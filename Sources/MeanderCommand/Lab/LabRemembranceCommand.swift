import ArgumentParser
import MeanderEvaluation
import MeanderTasks

struct LabRemembranceCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remembrance",
    abstract: "How far the next prediction depends on what stands far back.",
    usage: "meander lab remembrance -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab remembrance",
      """
      Effective remembrance (Ruiz and Gu 2025): the prediction behind a whole stream against the one behind its last \
      tokens alone, as half the sum of differences. A healthy model comes to agree with itself as more is read; a \
      collapsed one differs wherever its first tokens are left out.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var corpus: TextOptions

  @Option(help: "How many streams.")
  var streams = 16

  @Option(help: ArgumentHelp("Tokens of each stream.", valueName: "length"))
  var length = Lengths([1 << 13])

  func validate() throws {
    guard (1...10_000).contains(streams), length.values.count == 1 else {
      throw ValidationError("Please give --streams from 1 to 10000, and --length one length.")
    }
  }

  func run() async throws {
    let measurement = RemembranceMeasurement(
      text: try corpus.filler(), textName: corpus.name, streams: streams, length: length.values[0])
    try await lab.run(
      measurement, on: lab.subject(), columns: ["length", "left_out", "samples", "distance", "low", "high"])
  }
}
