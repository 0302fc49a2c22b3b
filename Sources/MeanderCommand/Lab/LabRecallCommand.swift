import ArgumentParser
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabRecallCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "recall",
    abstract:
      "Tasks of recall from the papers: associative recall, copying, induction, a phone book, variables, needles.",
    usage: "meander lab recall -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab recall",
      """
      The tasks are \(TaskMeasurement.standard.map(\.name).joined(separator: ", ")); Docs/Tasks.md shows an example \
      of each. Answers that are no text count token by token, each the likeliest behind those before it; several \
      values count one by one.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var filler: FillerOptions

  @Option(help: ArgumentHelp("Which tasks, set apart by commas (default: all).", valueName: "names"))
  var tasks: String?

  @Option(
    help: ArgumentHelp("One task with --options of its own, as recipes have them: mqar, needles, ….", valueName: "name")
  )
  var task: String?

  @Option(help: ArgumentHelp("Its options.", valueName: "json"))
  var options = "{}"

  @Option(
    help: ArgumentHelp("Bytes up to the answer: 1K, 64K,1M, or 1K..1M (by factors of four).", valueName: "lengths"))
  var lengths = Lengths([1 << 10, 1 << 12, 1 << 14])

  @Option(help: "How many for each task and length.")
  var samples = 20

  @Option(help: ArgumentHelp("As in lab passkey, for tasks that ask for a single thing.", valueName: "depths"))
  var depths = DepthsOption(.uniform)

  func validate() throws {
    guard (1...100_000).contains(samples) else {
      throw ValidationError("Please give --samples a number from 1 to 100000.")
    }
    if task != nil, tasks != nil { throw ValidationError("Please give --task or --tasks, not both.") }
  }

  func run() async throws {
    let series =
      if let task {
        [try TaskMeasurement.series(task: task, options: options)]
      } else if let tasks {
        try TaskMeasurement.series(tasks.split(separator: ",").map(String.init))
      } else {
        TaskMeasurement.standard
      }
    let measurement = TaskMeasurement(
      series, lengths: lengths.values, samples: samples, depths: depths.value, filler: try filler.filler(),
      fillerName: filler.name)
    try await lab.run(
      measurement, on: lab.subject(),
      columns: [
        "series", "length", "tokens", "samples", "answers", "accuracy", "low", "high", "clustered_low",
        "clustered_high",
      ])
  }
}
