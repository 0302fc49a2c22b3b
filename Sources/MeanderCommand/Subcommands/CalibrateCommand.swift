import ArgumentParser
import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderModels
import MeanderTasks

struct CalibrateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "calibrate",
    abstract: "Find the free values of a mitigation on a text, or the threshold of a deferral rule.",
    usage: "meander calibrate --text <file> -o <file> [<options>]",
    discussion: Examples.discussion(
      "calibrate",
      """
      dt-scale and a-scale: one scale a layer, by simultaneous perturbation of the loss on samples longer than the \
      trained length. rri: the best of the published pairs and their neighbors. state-norm: the largest norm of each head \
      within the trained length. token-filter: each head's thresholds, from the distribution of its time steps. \
      What is found is used by --mitigation @FILE alone. Take a text that nothing is measured on afterwards.

      With --deferral, the model answers needles in the text, and the rule (quantile, sum, average, or learned, which is \
      fitted on quantiles) is set so that it would have deferred a share --budget of them: for ask --deferral @FILE.
      """))

  @OptionGroup var model: ModelOptions

  @Option(help: ArgumentHelp("Which one, with any settings that are not to be found.", valueName: "name"))
  var mitigation: String?

  @Option(help: ArgumentHelp("Which deferral rule, of a model of recall.", valueName: "rule"))
  var deferral: String?

  @Option(help: "The share of questions that the rule is to defer.")
  var budget = 0.2

  @Option(help: ArgumentHelp("The needles' options, as recipes have them (deferral).", valueName: "json"))
  var task = "{}"

  @Option(help: ArgumentHelp("The text to find them on.", valueName: "file"))
  var text: String

  @Option(help: ArgumentHelp(
    "Tokens of each sample (default: the trained length; eight times as many where losses are compared); bytes with --deferral (16384).",
    valueName: "length"))
  var length: Lengths?

  @Option(help: "How many samples, spread evenly over the text.")
  var samples = 4

  @Option(help: "How many steps a search takes.")
  var iterations = 30

  @Option(help: "Where random directions start.")
  var seed: UInt64 = 1

  @Flag(help: "Scales for each head, in place of each layer.")
  var perHead = false

  @Option(help: "Of global reach is a head whose first token keeps more than this over a sample (token-filter).")
  var globalRetention = 0.05

  @Option(name: [.short, .long], help: ArgumentHelp("Where to write what was found.", valueName: "file"))
  var output: String

  func validate() throws {
    if let length, length.values.count != 1 || !(2...1 << 24).contains(length.values[0]) {
      throw ValidationError("Please give --length one number of tokens, from 2 to 16M.")
    }
    guard (mitigation == nil) != (deferral == nil) else {
      throw ValidationError("Please give --mitigation a name, or --deferral a rule.")
    }
    guard (0...1).contains(budget) else { throw ValidationError("Please give --budget a share from 0 to 1.") }
    guard (1...10_000).contains(samples), (1...100_000).contains(iterations), (0...1).contains(globalRetention) else {
      throw ValidationError("Please give 1 to 10000 samples, 1 to 100000 steps, and a retention from 0 to 1.")
    }
  }

  func run() async throws {
    if let deferral { return try await calibrate(deferral) }
    let method = try Mitigation(mitigation ?? "")
    let file = try FileBytes.mapping(text)
    let model = try await model.load()
    let comparesLosses = !["state-norm", "token-filter"].contains(method.name)
    guard let length = length?.values[0] ?? model.trainedLength.map({ $0 * (comparesLosses ? 8 : 1) }) else {
      throw MeanderError(
        .badRequest, "model \(model.name) does not say on what length it was trained", at: "--length",
        remedy: "Give the tokens of a sample.")
    }
    let windows = try windows(of: file, model, length)
    var options = CalibrationOptions()
    options.seed = seed
    options.iterations = iterations
    options.isPerHead = perHead
    options.globalRetention = globalRetention
    let result = try await model.calibrate(method, samples: windows, options: options) { line in
      if Signals.interruptCount > 0 { throw Interrupted() }
      if !line.isEmpty { Console.note(line) }
    }
    var notes: [(String, JSON)] = [
      ("length", JSON(length)), ("samples", JSON(samples)), ("seed", JSON(Int(clamping: seed))),
      ("iterations", JSON(iterations)), ("model", .string(model.name)),
    ]
    if let loss = result.loss {
      notes += [("bits_per_token_before", JSON(loss.before)), ("bits_per_token_after", JSON(loss.after))]
    }
    let found = CalibrationFile(name: method.name, fingerprint: model.fingerprint, result, notes: notes)
    _ = try model.mitigated(by: [found.mitigation()])
    try found.write(to: output)
    Console.note("use it as --mitigation @\(output)")
  }

  private func calibrate(_ name: String) async throws {
    let rule = name == "learned" ? DeferralRule(.learned([])) : try DeferralRule(named: name)
    let options = try JSON.parse(FileBytes(Array(task.utf8), path: "--task"))
    let needles = try RecallTasks.make(NeedleTask.name, Configuration(options, file: "--task"), file: "--task")
    let model = try await model.load()
    let calibration = DeferralCalibration(
      task: needles, lengths: length?.values ?? [16384], samples: samples, seed: seed, filler: try TextFiller([text]))
    let result = try await calibration.calibrate(rule, of: model, budget: budget) { _, _ in
      if Signals.interruptCount > 0 { throw Interrupted() }
    }
    let members = result.rule.members + [
      ("model", .string(model.name)), ("fingerprint", .string(model.fingerprint)), ("samples", JSON(result.samples)),
      ("right", JSON(result.right)), ("budget", JSON(budget)), ("seed", JSON(Int(clamping: seed))), ("task", options),
      ("lengths", .array((length?.values ?? [16384]).map { JSON($0) })),
    ]
    try AtomicFile.write(output, mode: 0o644, bytes: JSON(members).write() + [0x0a])
    Console.note("\(result.right) of \(result.samples) were right; use the rule as --deferral @\(output)")
  }

  /// `samples` runs of `length` tokens, spread evenly over the text.
  private func windows(of file: FileBytes, _ model: Model, _ length: Int) throws -> [[Int32]] {
    try (0..<samples).map { index in
      var place = file.count / samples * index
      let end = index == samples - 1 ? file.count : file.count / samples * (index + 1)
      var encoder = model.tokenizer.makeEncoder()
      var pieces: [TokenPiece] = []
      while pieces.count < length, place < end {
        let next = min(place + 4096, end)
        encoder.push(file.copy(place..<next), into: &pieces)
        place = next
      }
      if pieces.count < length { encoder.finish(into: &pieces) }
      guard pieces.count >= length else {
        throw MeanderError(
          .badData, "the text is too short for \(samples) samples of \(length) tokens", at: text,
          remedy: "Give a longer one, fewer --samples, or a smaller --length.")
      }
      return pieces.prefix(length).map(\.id)
    }
  }
}
