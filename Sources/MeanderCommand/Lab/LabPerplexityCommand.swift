import ArgumentParser
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabPerplexityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "perplexity",
    abstract: "Bits a byte and perplexity over streams of text, or after more and more of their past.",
    usage: "meander lab perplexity -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab perplexity",
      """
      Without --contexts: streams that lie evenly over the text, the state carried from the beginning of each to its \
      end, once more for each --reset, begun anew every so many bytes, and once in --strided windows, as models of \
      bounded context are measured. With --contexts: the same windows of text \
      scored after so many bytes of what stands before them (--own-past: of one other text, read once), and the change \
      against --baseline, paired window by window.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var corpus: TextOptions

  @Option(help: "How many streams.")
  var streams = 16

  @Option(help: ArgumentHelp("Bytes of each stream.", valueName: "length"))
  var length = Lengths([1 << 16])

  @Option(
    help: ArgumentHelp("Begin the state anew every so many bytes, beside carrying it: 256,4K.", valueName: "lengths"))
  var reset: Lengths?

  @Option(
    help: ArgumentHelp(
      "Score in overlapping windows of so many bytes too, each from a state of its own.", valueName: "length"))
  var strided: Lengths?

  @Option(help: ArgumentHelp("Bytes from one window to the next (default: half a window).", valueName: "length"))
  var stride: Lengths?

  @Flag(help: "Measure an n-gram of order 5 beside the model, which learns as it reads.")
  var ngram = false

  @Option(help: ArgumentHelp("Text that the n-gram reads first; may be repeated.", valueName: "path"))
  var prime: [String] = []

  @Option(help: ArgumentHelp("How much is read before each window: 256,1K,64K or 256..1M.", valueName: "lengths"))
  var contexts: Lengths?

  @Option(help: "How many windows are scored after each context.")
  var windows = 16

  @Option(help: ArgumentHelp("Bytes of a window.", valueName: "length"))
  var window = Lengths([1 << 12])

  @Option(help: ArgumentHelp("The context that the others are compared with.", valueName: "length"))
  var baseline = Lengths([1 << 10])

  @Option(
    help: ArgumentHelp(
      "Only so much of a context stands right before each window, and before that one other text, read once for all.",
      valueName: "length"))
  var ownPast: Lengths?

  func validate() throws {
    guard (1...10_000).contains(streams), (1...10_000).contains(windows) else {
      throw ValidationError("Please give --streams and --windows numbers from 1 to 10000.")
    }
    guard length.values.count == 1, window.values.count == 1, baseline.values.count == 1 else {
      throw ValidationError("Please give --length, --window and --baseline one length each.")
    }
    if contexts != nil, ngram || !prime.isEmpty {
      throw ValidationError("Please give --contexts or an n-gram, not both.")
    }
    if let ownPast, contexts == nil || ownPast.values.count != 1 {
      throw ValidationError("Please give --own-past one length, and --contexts beside it.")
    }
    if reset != nil || strided != nil, contexts != nil {
      throw ValidationError("Please give --contexts, or --reset and --strided, not both.")
    }
    if let window = strided?.values {
      guard window.count == 1, stride.map({ $0.values.count == 1 && $0.values[0] < window[0] }) ?? (window[0] > 1) else {
        throw ValidationError("Please give --strided one length, and --stride a shorter one.")
      }
    } else if stride != nil {
      throw ValidationError("Please give --stride together with --strided.")
    }
  }

  private var readings: [LossMeasurement.Reading] {
    let anew = (reset?.values ?? []).map { LossMeasurement.Reading.begunAnew(every: $0) }
    let windows = (strided?.values ?? []).map {
      LossMeasurement.Reading.strided(window: $0, stride: stride?.values[0] ?? $0 / 2)
    }
    return [.carried] + anew + windows
  }

  func run() async throws {
    let text = try corpus.filler()
    if let contexts {
      let measurement = try ContextMeasurement(
        text: text, textName: corpus.name, contexts: contexts.values, windows: windows, window: window.values[0],
        baseline: baseline.values[0], own: ownPast?.values[0])
      return try await lab.run(
        measurement, on: lab.subject(),
        columns: [
          "length", "past_tokens", "samples", "bits_per_byte", "low", "high", "change", "change_low", "change_high",
        ])
    }
    let measurement = try LossMeasurement(
      text: text, textName: corpus.name, streams: streams, length: length.values[0],
      readings: readings, priming: ngram || !prime.isEmpty ? prime : nil)
    try await lab.run(
      measurement, on: lab.subject(), columns: ["series", "length", "samples", "bits_per_byte", "low", "high"],
      more: [
        ("overall", ["series", "bytes", "tokens", "bits_per_byte", "low", "high", "perplexity", "streams_with_alarm"])
      ])
  }
}

/// Text that losses are measured on.
struct TextOptions: ParsableArguments {
  @Option(
    name: .customLong("text"),
    help: ArgumentHelp(
      "Files and folders of text; may be repeated. They follow each other without a mark.", valueName: "path"))
  var paths: [String] = []

  var name: String { paths.joined(separator: " ") }

  func validate() throws {
    if paths.isEmpty { throw ValidationError("Please name a text with --text.") }
  }

  func filler() throws -> TextFiller { try TextFiller(paths) }
}
