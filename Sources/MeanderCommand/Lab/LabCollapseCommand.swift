import ArgumentParser
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabCollapseCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "collapse",
    abstract: "Loss by position, and which heads' states outgrow what they were in training.",
    usage: "meander lab collapse -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab collapse",
      """
      Reads streams of text and a prompt of line breaks alone, which tells length from content. Loss is told in \
      buckets of positions that double from 128 bytes; norm, outliers and what is left of the first token for each \
      head wherever the position doubles. A head counts as collapsing where it keeps 99 % of what it read first over \
      the trained length and its norm passes twice what it was within it.
      """))

  @OptionGroup var lab: LabOptions

  @Option(
    name: .customLong("text"),
    help: ArgumentHelp("Files and folders of text; may be repeated. Left out: line breaks alone.", valueName: "path"))
  var paths: [String] = []

  @Option(help: "How many streams of text.")
  var streams = 8

  @Option(help: ArgumentHelp("Bytes of each stream.", valueName: "length"))
  var length = Lengths([1 << 16])

  @Option(help: "Line breaks of the prompt; 0 leaves it out.")
  var newlines = 300_000

  @Option(
    help: ArgumentHelp("The trained length in tokens, where the model does not say.", valueName: "tokens"), transform: Lengths.one)
  var trainedLength: Int?

  func validate() throws {
    guard length.values.count == 1 else { throw ValidationError("Please give --length one length.") }
    guard (1...10_000).contains(streams), (0...1 << 40).contains(newlines) else {
      throw ValidationError("Please give --streams from 1 to 10000, and other counts from 0.")
    }
    if paths.isEmpty, newlines == 0 { throw ValidationError("Please give --text, --newlines, or both.") }
  }

  func run() async throws {
    let measurement = try CollapseMeasurement(
      text: paths.isEmpty ? nil : TextFiller(paths), textName: paths.isEmpty ? "none" : paths.joined(separator: " "),
      streams: streams,
      length: length.values[0], newlines: newlines, trainedLength: trainedLength)
    try await lab.run(
      measurement, on: lab.subject(), columns: ["series", "length", "samples", "bits_per_byte", "low", "high"],
      more: [("collapsing", ["layer", "head", "position", "norm_over_trained", "outlier_ratio"])])
  }
}
