import ArgumentParser
import MeanderFiles
import MeanderTasks

struct PlotCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plot",
    abstract: "Draw a training log or a measurement's report as SVG.",
    usage: "meander plot <report> ... [-o <file>]",
    discussion: Examples.discussion(
      "plot",
      """
      Of a training log: loss, learning rate, gradient norm, speed, evaluations and gauges over steps, whichever it \
      holds. Of a report with results: accuracy by length with its interval, or a heat map of length and depth. Of several reports, \
      of a model with and without a mitigation say: a curve for each. The picture follows the page's light or dark colors.
      """))

  @Argument(help: ArgumentHelp("A run's log (JSON Lines), or reports (JSON).", valueName: "report"))
  var reports: [String]

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("Where the picture goes (default: standard output).", valueName: "file"))
  var output: String?

  func run() throws {
    let picture = try Array(Report.chart(reports.map { try FileBytes.mapping($0) }).svg().utf8)
    if let output {
      try AtomicFile.write(output, mode: 0o644, bytes: picture)
    } else {
      let output = Output.standard()
      try output.write(picture)
      try output.flush()
    }
  }
}
