import ArgumentParser
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

struct LabPasskeyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "passkey",
    abstract: "How often a key of five digits is given back that was said once in a long text.",
    usage: "meander lab passkey -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab passkey",
      """
      Every sample has a key, a place and a filler of its own; every byte of it is streamed. A question is asked as \
      it stands and with a space behind it, of one reading. An answer counts when the key stands in the greedy \
      continuation, which is as long as the answer, and five tokens at least. The report gives Wilson's interval, \
      one that counts samples with a common document (or stretch of text) as one cluster, the bytes of filler that \
      are different, and accuracy by depth.
      """))

  @OptionGroup var lab: LabOptions
  @OptionGroup var filler: FillerOptions

  @Option(
    help: ArgumentHelp("Bytes up to the answer: 1K, 64K,1M, or 1K..10M (by factors of four).", valueName: "lengths"))
  var lengths = Lengths([1 << 10, 1 << 14, 1 << 18])

  @Option(help: "How many for each wording and length (and depth, where depths are given).")
  var samples = 20

  @Option(
    help: ArgumentHelp(
      "uniform (drawn), even ((i + 1/2)/n for sample i of n, as published), a number of depths, or a list: 0,0.5,1.",
      valueName: "depths"))
  var depths = DepthsOption(.uniform)

  @Option(
    help: ArgumentHelp(
      "published, paraphrases, all, absent (no key was said), or wordings by name, set apart by commas.",
      valueName: "names"))
  var wording: String?

  @Option(help: "So many named keys in one text, one of them asked for, in wordings that vary.")
  var keys: Int?

  @Option(help: "Whether the question ends in a space: no, yes, or both.")
  var trailingSpace = TrailingSpace.both

  enum TrailingSpace: String, CaseIterable, ExpressibleByArgument {
    case no
    case yes
    case both
  }

  func validate() throws {
    guard (1...100_000).contains(samples) else {
      throw ValidationError("Please give --samples a number from 1 to 100000.")
    }
    if let keys, !(1...100).contains(keys) { throw ValidationError("Please give --keys a number from 1 to 100.") }
    if keys != nil, wording != nil { throw ValidationError("Please give --keys or --wording, not both.") }
  }

  func run() async throws {
    let names = (wording ?? "published").split(separator: ",").map(String.init)
    let questions = try keys.map { [.keys($0)] } ?? PasskeyMeasurement.questions(names)
    let endings: [RecallSeries.Ending] =
      switch trailingSpace {
      case .no: [.plain]
      case .yes: [.space]
      case .both: [.plain, .space]
      }
    let measurement = PasskeyMeasurement(
      questions, endings: endings, lengths: lengths.values, samples: samples, depths: depths.value,
      filler: try filler.filler(),
      fillerName: filler.name)
    try await lab.run(
      measurement, on: lab.subject(),
      columns: [
        "series", "length", "tokens", "samples", "accuracy", "low", "high", "clustered_low", "clustered_high",
        "invented",
      ])
  }
}

/// Depths as options name them.
struct DepthsOption: ExpressibleByArgument {
  let value: RecallDepths

  init(_ value: RecallDepths) { self.value = value }

  init?(argument: String) {
    switch argument {
    case "uniform": value = .uniform
    case "even": value = .even
    default:
      if let count = Int(argument), (2...1000).contains(count) {
        value = .fixed((0..<count).map { (Double($0) + 0.5) / Double(count) })
        return
      }
      let depths = argument.split(separator: ",", omittingEmptySubsequences: false).map { Double($0) }
      guard depths.allSatisfy({ $0.map { (0...1).contains($0) } ?? false }) else { return nil }
      value = .fixed(depths.compactMap { $0 })
    }
  }

  var defaultValueDescription: String { value.text }
}
