import ArgumentParser
import Meander
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabCheckCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check",
    abstract: "The battery for releases: one page, passed or failed for each promise.",
    usage: "meander lab check -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab check",
      """
      Line breaks up to the longest length: the state stays finite and no head's norm passes twice what it was \
      within the trained length. With --text, the same windows after more and more of their past: no more than 5 % \
      worse. Pass keys from 1K up at ten depths, associative recall, one of RULER's needles, its variables and \
      frequent words. A check that fails is a result, not an error.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var filler: FillerOptions

  @Option(
    name: .customLong("text"), help: ArgumentHelp("Text for the loss by position; may be repeated.", valueName: "path"))
  var paths: [String] = []

  @Option(help: ArgumentHelp("Up to where everything is measured.", valueName: "length"))
  var longest = Lengths([1 << 20])

  @Option(help: "Pass keys for each length and depth; ten times as many for the other tasks.")
  var samples = 2

  @Option(
    help: ArgumentHelp("The trained length in tokens, where the model does not say.", valueName: "tokens"), transform: Lengths.one)
  var trainedLength: Int?

  func validate() throws {
    guard (1...10_000).contains(samples), longest.values.count == 1, longest.values[0] >= 4096 else {
      throw ValidationError("Please give --samples from 1 to 10000, and --longest one length of at least 4K.")
    }
  }

  func run() async throws {
    let subject = try await lab.subject()
    let purposes = subject.model.purposes
    let measurement = try CheckMeasurement(
      text: paths.isEmpty ? nil : TextFiller(paths), textName: paths.joined(separator: " "), longest: longest.values[0],
      samples: samples, filler: filler.filler(), fillerName: filler.name, trainedLength: trainedLength,
      isLanguageModel: purposes.isEmpty || purposes.contains("language"))
    try await lab.run(
      measurement, on: subject, columns: [], more: [("checks", ["check", "value", "bound", "samples", "passed"])])
  }
}
