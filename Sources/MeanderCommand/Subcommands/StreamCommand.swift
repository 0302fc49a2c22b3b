import ArgumentParser
import Meander
import MeanderFiles
import MeanderTasks

struct StreamCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "stream",
    abstract: "Read standard input of any length, in constant memory.",
    discussion: Examples.discussion(
      "stream",
      """
      --emit surprisal prints each line as soon as the model has read it: on a terminal its score and its \
      text, else a line of JSON with offset, text, bits, bits_per_byte, score, and alarm where the state \
      raised one. The score is how far the line's bits a byte lie above the median of the lines before it, \
      in spreads (interquartile range over 1.349, at least \(LineScorer.leastSpread) bits); it is 0 for the \
      first \(LineScorer.warmUp) lines. Of a longer line, the first 64 KiB of text are shown. To watch a \
      log: tail -F app.log | meander stream --emit surprisal --above 6

      A snapshot holds the state, the place in the input, and how much was written to -o. With --resume a \
      file is continued where the snapshot stands, and -o is cut back to it: after any number of kills its \
      bytes are those of a run that was never stopped. What was read can in part be recovered from a \
      snapshot: keep it as you keep the input.
      """))

  enum Emission: String, CaseIterable, ExpressibleByArgument {
    case surprisal
    case none
  }

  enum Mixture: String, CaseIterable, ExpressibleByArgument {
    case none
    case ngram
  }

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions
  @OptionGroup var state: StateOptions
  @OptionGroup var format: FormatOptions

  @Option(help: "What to print of each line.")
  var emit: Emission = .none

  @Option(help: "Mix in the prediction of an n-gram that learns from the stream.")
  var mix: Mixture = .none

  @Flag(help: "Leave the text out of the JSON.")
  var noText = false

  @Option(parsing: .unconditional, help: ArgumentHelp("Print only lines that score above this.", valueName: "score"))
  var above: Double?

  @Option(
    help: ArgumentHelp(
      "Print the K strangest lines at the end and on SIGUSR1, and others only with --above.", valueName: "k"))
  var top: Int?

  @Option(
    name: [.short, .long], help: ArgumentHelp("Write to this file in place of standard output.", valueName: "file"))
  var output: String?

  @Option(help: ArgumentHelp("Write snapshots to this file.", valueName: "file"))
  var snapshot: String?

  @Option(
    help: ArgumentHelp(
      "How often: every so many bytes (K, M, G), or a time (s, min, h), or both: 1M,60s.", valueName: "1M|60s"))
  var snapshotEvery: SnapshotSchedule?

  @Flag(help: "Continue from the snapshot if there is one, else start.")
  var resume = false

  @Flag(help: "The same, but the input goes on where the snapshot ends: nothing is skipped.")
  var resumeHere = false

  @Option(help: ArgumentHelp("Stop rather than hold more than this in memory.", valueName: "mib"))
  var maxRss: Int?

  func validate() throws {
    if emit == .none {
      let needing = [
        (noText, "--no-text"), (above != nil, "--above"), (top != nil, "--top"), (output != nil, "--output"),
        (mix != .none, "--mix"),
      ]
      if let option = needing.first(where: \.0)?.1 {
        throw ValidationError("Please give --emit surprisal with \(option).")
      }
    }
    if snapshot == nil {
      let needing = [(resume, "--resume"), (resumeHere, "--resume-here"), (snapshotEvery != nil, "--snapshot-every")]
      if let option = needing.first(where: \.0)?.1 { throw ValidationError("Please give --snapshot with \(option).") }
    }
    if state.load != nil, resume || resumeHere { throw ValidationError("Please give --load or --resume, not both.") }
    if let top, !(1...10_000).contains(top) { throw ValidationError("Please give --top a number from 1 to 10000.") }
    if let above, above.isNaN { throw ValidationError("Please give --above a number.") }
    if let maxRss, !(1...1 << 30).contains(maxRss) { throw ValidationError("Please give --max-rss a number of MiB.") }
  }

  func run() async throws {
    let model = try await model.load(mitigations, memoryLimit: maxRss.map { $0 << 20 })
    if emit == .surprisal { try Self.requireLanguage(model) }
    let run = try await StreamRun(self, model)
    try await run.run()
  }

  private static func requireLanguage(_ model: Model) throws {
    guard model.purposes.isEmpty || model.purposes.contains("language") else {
      throw MeanderError(
        .unsupported,
        "the model was made for \(model.purposes.joined(separator: ", ")) only: its surprise at a text means nothing",
        at: "--emit surprisal, model \(model.name)",
        remedy: "Take a language model, -m reader say, or leave --emit out.")
    }
  }
}
