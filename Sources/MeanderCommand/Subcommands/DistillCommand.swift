#if FFTW
import ArgumentParser
import MeanderFiles
import MeanderLongConvolution

struct DistillCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "distill",
    abstract: "Make a recurrent model of one of long convolutions.",
    usage: "meander distill <model> -o <folder> [<options>]",
    discussion: Examples.discussion(
      "distill",
      """
      Each filter becomes a sum of a few modes: the order is chosen by its Hankel singular values, the error over its whole \
      length is told, and for every channel written to distillation.json. What comes out streams in a small state.
      """))

  @Argument(help: "A directory, a file, a shipped model's name, or a hub name in the local cache.")
  var model: String

  @Option(help: ArgumentHelp(
    "A channel's order is the smallest whose next singular value is below this share of the first.", valueName: "share"))
  var tolerance = 1e-3

  @Option(help: ArgumentHelp("No channel has a larger order.", valueName: "n"))
  var largestOrder = 48

  @Option(name: [.short, .long], help: "How many threads compute (default: as many as this process may run on).")
  var threads: Int?

  @OptionGroup var format: FormatOptions

  @Option(name: [.short, .long], help: ArgumentHelp("The folder to write.", valueName: "folder"))
  var output: String

  func validate() throws {
    if let threads, !(1...1024).contains(threads) { throw ValidationError("Please give --threads a number from 1 to 1024.") }
  }

  func run() throws {
    var options = Distillation.Options()
    (options.tolerance, options.largestOrder) = (tolerance, largestOrder)
    let channels = try Distillation.write(model, to: output, options, threads: threads ?? Processors.available) { _ in
      if Signals.interruptCount > 0 { throw Interrupted() }
    }
    let console = Output.standard()
    let stages = Dictionary(grouping: channels) { [$0.layer, $0.stage] }
    for key in stages.keys.sorted(by: { $0.lexicographicallyPrecedes($1) }) {
      let own = stages[key] ?? []
      let errors = own.map(\.error).sorted()
      let worst = own.max { $0.error < $1.error }
      let modes = own.map(\.modes).max() ?? 0
      if format.json {
        try console.line(
          JSONText.object {
            $0.field("layer", key[0])
            $0.field("stage", key[1])
            $0.field("channels", own.count)
            $0.field("modes", modes)
            $0.field("median_error", errors[errors.count / 2], places: 9)
            $0.field("worst_error", worst?.error ?? 0, places: 9)
            $0.field("worst_channel", worst?.channel ?? 0)
          })
      } else {
        Console.note(
          "layer \(key[0]), stage \(key[1]): \(modes) modes, relative error \(share(errors[errors.count / 2])) in the middle and "
            + "\(share(worst?.error ?? 0)) at worst (channel \(worst?.channel ?? 0))")
      }
    }
    try console.flush()
  }

  private func share(_ value: Double) -> String { "\((value * 1e6).rounded() / 1e4) %" }
}
#endif
