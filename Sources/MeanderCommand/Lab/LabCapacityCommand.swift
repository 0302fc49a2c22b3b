import ArgumentParser
import MeanderEvaluation
import MeanderTasks

struct LabCapacityCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "capacity",
    abstract: "Train models of growing state, and find what each forgets and recalls.",
    usage: "meander lab capacity -o <folder> [<options>]",
    discussion: Examples.discussion(
      "lab capacity",
      """
      Each model learns from text with pass keys mixed in, over longer and longer training lengths, a longer one \
      going on from the model of the one before. T_forget is the shortest training length from which the loss on \
      held-out text stays below twice the largest within the training length; T_recall the longest context with more \
      than 95 % of pass keys. The preset paper is fitted by a linear, a power and an exponential law, with the error \
      of each size foretold from the others; the preset quick is a smoke run and fits nothing. Models and \
      checkpoints stay in the folder: --resume goes on in the middle of a training.
      """))

  enum Preset: String, CaseIterable, ExpressibleByArgument {
    case quick
    case paper
  }

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("The folder for report, picture, outcomes and models.", valueName: "folder"))
  var output: String

  @Option(
    name: .customLong("text"),
    help: ArgumentHelp("Files and folders to learn from; may be repeated.", valueName: "path"))
  var paths: [String] = []

  @Option(
    name: .customLong("held-out"),
    help: ArgumentHelp("Files and folders to measure on; may be repeated.", valueName: "path"))
  var heldOut: [String] = []

  @Option(help: "Which models, lengths and tokens.")
  var preset = Preset.quick

  @Option(
    name: .customLong("mixer"),
    help: ArgumentHelp(
      "The mixers to compare, set apart by commas; each at the state of Mamba-2 at every size.", valueName: "names"))
  var mixers = "mamba2"

  @Option(help: ArgumentHelp("Teach associative recall, too, and ask for so many pairs at once: 4,8,16.", valueName: "counts"))
  var pairs: Lengths?

  @Option(help: "Another width than the preset's.")
  var width: Int?

  @Option(help: "Another number of layers than the preset's.")
  var layers: Int?

  @Option(help: ArgumentHelp("Other state sizes N than the preset's: 8,16.", valueName: "sizes"))
  var states: Lengths?

  @Option(help: ArgumentHelp("Other training lengths.", valueName: "lengths"))
  var trained: Lengths?

  @Option(help: ArgumentHelp("Other tokens for the first training length.", valueName: "count"))
  var tokens: Lengths?

  @Option(
    help: ArgumentHelp(
      "Other tokens for each longer one (default: as for the first, where that is given).", valueName: "count"))
  var furtherTokens: Lengths?

  @Option(help: ArgumentHelp("Up to where losses are measured instead.", valueName: "length"))
  var longest: Lengths?

  @Option(help: "Where training and samples start.")
  var seed: UInt64 = 1

  @OptionGroup var training: LabTrainingOptions
  @OptionGroup var format: FormatOptions

  func validate() throws {
    if paths.isEmpty || heldOut.isEmpty { throw ValidationError("Please name texts with --text and --held-out.") }
    if let width, !(1...1 << 16).contains(width) || width % 32 != 0 {
      throw ValidationError("Please give --width a multiple of 32.")
    }
    if let layers, !(1...1024).contains(layers) { throw ValidationError("Please give --layers a number from 1 to 1024.") }
  }

  func run() async throws {
    var plan = preset == .paper ? CapacityPlan.paper : .quick
    if let first = plan.sizes.first, states != nil || width != nil || layers != nil {
      plan.sizes = (states?.values ?? plan.sizes.map(\.state)).map {
        CapacityPlan.Size(
          layers: layers ?? first.layers, width: width ?? first.width, headWidth: first.headWidth, state: $0)
      }
    }
    plan.mixers = mixers.split(separator: ",").map(String.init)
    if let pairs { plan.pairs = pairs.values }
    if let trained { plan.trained = trained.values }
    if let tokens { plan.tokens = Array(tokens.values.prefix(1)) }
    if let further = furtherTokens?.values.first { plan.tokens = [plan.tokens[0], further] }
    if let longest = longest?.values.last {
      plan.longest = longest
      plan.recallLengths = CapacityPlan.quarterOctaves(from: 256, to: longest)
    }
    // Relative to where the command runs, and told from the names of models.
    let folder = output.hasPrefix("/") ? output : "./\(output)"
    let measurement = try CapacityMeasurement(
      plan: plan, text: paths, heldOut: TextFiller(heldOut), heldOutName: heldOut.joined(separator: " "),
      work: "\(folder)/models")
    let subject = LabSubject(streams: min(training.streams, plan.sizes.count * plan.mixers.count))
    try await LabRunning(folder: output, seed: seed, resumes: training.resume, json: format.json).run(
      measurement, on: subject, columns: ["series", "length", "samples", "accuracy", "low", "high"],
      more: [
        ("stages", ["state_floats", "seed", "trained", "inside", "outside", "forgets"]),
        (
          "points",
          [
            "mixer", "width", "state_size", "state_floats", "parameters", "seed", "forget", "recall", "pairs", "pairs_a_thousand_floats", "seconds",
          ]
        ),
        ("fits", ["quantity", "varied", "law", "r_squared", "leave_one_size_out", "points"]),
      ])
  }
}
