import ArgumentParser
import Meander

/// How tokens are drawn. What is left out comes from the model's `generation_config.json`.
struct SamplingArguments: ParsableArguments {
  @Option(
    name: .customLong("temp"), parsing: .unconditional,
    help: "Temperature; 0 takes the likeliest token (default: from generation_config.json, else 0).")
  var temperature: Double?

  @Option(help: "Keep the K likeliest tokens; 0 keeps all.")
  var topK: Int?

  @Option(help: "Keep the likeliest tokens that hold this much probability; 1 keeps all.")
  var topP: Double?

  @Option(help: "Keep tokens at least this fraction as likely as the likeliest; 0 keeps all.")
  var minP: Double?

  @Option(help: "Locally typical sampling: keep this much probability; 1 keeps all.")
  var typical: Double?

  @Option(help: "Divide the logits of recent tokens; 1 is off.")
  var repeatPenalty: Double?

  @Option(help: "How many of the latest tokens the three penalties look at.")
  var repeatLastN: Int?

  @Option(parsing: .unconditional, help: "Subtract this once from the logit of each recent token.")
  var presencePenalty: Double?

  @Option(parsing: .unconditional, help: "Subtract this for each time a recent token occurred.")
  var frequencyPenalty: Double?

  @Option(help: "DRY: scale of the penalty on repetitions; 0 is off.")
  var dryMultiplier: Double?

  @Option(help: "DRY: how the penalty grows with the repetition's length.")
  var dryBase: Double?

  @Option(help: "DRY: repetitions shorter than this many tokens cost nothing.")
  var dryAllowedLength: Int?

  @Option(help: "DRY: how many of the latest tokens are searched.")
  var dryPenaltyLastN: Int?

  @Option(
    parsing: .unconditionalSingleValue,
    help: "DRY: a text across which no repetition counts (may be repeated).")
  var drySequenceBreaker: [String] = []

  /// What llama.cpp takes where no breaker is given.
  private static let standardBreakers = ["\n", ":", "\"", "*"]

  @Option(help: "XTC: how often the top choices are removed; 0 is off.")
  var xtcProbability: Double?

  @Option(help: "XTC: tokens at least this likely are top choices.")
  var xtcThreshold: Double?

  @Option(help: "Mirostat 1 or 2 in place of the truncations; 0 is off.")
  var mirostat: Int?

  @Option(help: "Mirostat: the target surprise in bits.")
  var mirostatTau: Double?

  @Option(help: "Mirostat: how fast the bound follows the error.")
  var mirostatEta: Double?

  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      "Add to the logit of a token: 15+2.5, 15-1, 15-inf (may be repeated).", valueName: "id±bias"))
  var logitBias: [LogitBias] = []

  @Option(help: "Beam search: how many texts go on side by side; 1 is off.")
  var beamWidth: Int?

  @Option(help: "Beam search: α of GNMT's length normalization (default: 0.6).")
  var lengthPenalty: Double?

  @Option(help: "Beam search: β of GNMT's coverage penalty, for models with attention; 0 is off.")
  var coveragePenalty: Double?

  @Option(help: "Where the random draws start; the same seed gives the same text.")
  var seed: UInt64?

  /// Whether anything was asked for; else a loaded state goes on with the sampler that it holds.
  var areGiven: Bool {
    numbers.contains { $0.1 != nil } || counts.contains { $0.1 != nil } || seed != nil
      || !drySequenceBreaker.isEmpty || !logitBias.isEmpty
  }

  private var numbers: [(WritableKeyPath<SamplingOptions, Double>, Double?)] {
    [
      (\.temperature, temperature), (\.topP, topP), (\.minP, minP), (\.typical, typical),
      (\.repeatPenalty, repeatPenalty), (\.presencePenalty, presencePenalty),
      (\.frequencyPenalty, frequencyPenalty), (\.dry.multiplier, dryMultiplier), (\.dry.base, dryBase),
      (\.xtc.probability, xtcProbability), (\.xtc.threshold, xtcThreshold), (\.mirostat.tau, mirostatTau),
      (\.mirostat.eta, mirostatEta), (\.beam.lengthPenalty, lengthPenalty), (\.beam.coveragePenalty, coveragePenalty),
    ]
  }

  private var counts: [(WritableKeyPath<SamplingOptions, Int>, Int?)] {
    [
      (\.topK, topK), (\.repeatLastCount, repeatLastN), (\.dry.allowedLength, dryAllowedLength),
      (\.dry.lastCount, dryPenaltyLastN), (\.mirostat.version, mirostat), (\.beam.width, beamWidth),
    ]
  }

  /// The model's defaults with what was asked for laid over them.
  func options(for model: Model) throws -> SamplingOptions {
    var options = model.generationDefaults
    for (field, value) in numbers { options[keyPath: field] = value ?? options[keyPath: field] }
    for (field, value) in counts { options[keyPath: field] = value ?? options[keyPath: field] }
    for bias in logitBias {
      guard bias.id < model.vocabularyCount else {
        throw MeanderError(
          .badRequest, "token \(bias.id) is not in the vocabulary", at: "--logit-bias",
          remedy: "Its ids are 0 to \(model.vocabularyCount - 1); `meander tokenizer encode` prints those of a text.")
      }
      options.logitBias[bias.id] = bias.value
    }
    seed.map { options.seed = $0 }
    if !drySequenceBreaker.isEmpty || options.dry.multiplier > 0 {
      let texts = drySequenceBreaker.isEmpty ? Self.standardBreakers : drySequenceBreaker
      let tokenizer = model.tokenizer
      options.dry.breakers = SamplingOptions.Dry.breakers(
        for: texts, vocabulary: (0..<tokenizer.vocabularyCount).map { tokenizer.bytes(of: Int32($0)) },
        encode: { tokenizer.encode($0) })
    }
    _ = try Sampler(options)
    return options
  }
}

/// `ID+BIAS` or `ID-BIAS`, as llama.cpp writes it.
struct LogitBias: ExpressibleByArgument {
  var id: Int32
  var value: Float

  init?(argument: String) {
    guard let sign = argument.firstIndex(where: { $0 == "+" || $0 == "-" }), let id = Int32(argument[..<sign]),
      let value = Float(argument[sign...]), !value.isNaN, value != .infinity
    else { return nil }
    self.id = id
    self.value = value
  }
}
