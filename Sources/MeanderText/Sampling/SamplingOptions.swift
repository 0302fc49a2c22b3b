/// How the next token is drawn from a model's logits.
///
/// Names, defaults and order follow llama.cpp's samplers, with two exceptions: temperature is 0 (greedy)
/// until asked for, and DRY looks back over a bounded window, since a stream has no context size.
public struct SamplingOptions: Sendable, Equatable {
  /// Divides the logits before the draw; 0 takes the likeliest token after bias and penalties, 0...100.
  public var temperature = 0.0
  /// Keeps the `topK` likeliest tokens; 0 keeps all (Fan, Lewis and Dauphin 2018).
  public var topK = 40
  /// Keeps the likeliest tokens that together hold this much probability, 0...1; 1 keeps all (Holtzman et al.
  /// 2020).
  public var topP = 0.95
  /// Keeps tokens at least this fraction as likely as the likeliest, 0...1; 0 keeps all (Nguyen et al. 2024).
  public var minP = 0.05
  /// Keeps tokens whose surprise is nearest to the entropy, up to this much probability, 0...1; 1 keeps all
  /// (Meister et al. 2023).
  public var typical = 1.0
  /// Divides positive and multiplies negative logits of recent tokens; 1 is off (Keskar et al. 2019),
  /// 0.01...100.
  public var repeatPenalty = 1.0
  /// How many of the latest tokens the three penalties look at, 0...65,536.
  public var repeatLastCount = 64
  /// Subtracted once from the logit of every recent token, -100...100.
  public var presencePenalty = 0.0
  /// Subtracted from the logit of a recent token once for each time it occurred, -100...100.
  public var frequencyPenalty = 0.0
  /// The penalty on repetitions; off by default.
  public var dry = Dry()
  /// The removal of top choices; off by default.
  public var xtc = Xtc()
  /// What keeps the surprise at a target, in place of the truncations; off by default.
  public var mirostat = Mirostat()
  /// Added to the logits of single tokens; negative infinity forbids a token.
  public var logitBias: [Int32: Float] = [:]
  /// What looks for the likeliest text instead of the likeliest next token; off by default.
  public var beam = Beam()
  /// Where the generator starts; the same seed gives the same tokens on every machine.
  public var seed: UInt64 = 0

  /// "Don't repeat yourself": a penalty that grows with the length of the repetition that a token would
  /// continue (p-e-w, text-generation-webui pull request 5677).
  public struct Dry: Sendable, Equatable {
    /// Scale of the penalty, 0...100; 0 is off.
    public var multiplier = 0.0
    /// The penalty is `multiplier · base^(length - allowedLength)`, base 1...100.
    public var base = 1.75
    /// Repetitions shorter than this many tokens cost nothing, 1...65,536.
    public var allowedLength = 2
    /// How many of the latest tokens are searched for repetitions, 0...65,536.
    public var lastCount = 4096
    /// Token sequences across which no repetition is counted; see `breakers(for:vocabulary:encode:)`.
    public var breakers: [[Int32]] = []

    /// Off, with llama.cpp's values for the rest.
    public init() {}
  }

  /// "Exclude top choices": now and then removes all but the least likely of the tokens above a threshold
  /// (p-e-w, text-generation-webui pull request 6335).
  public struct Xtc: Sendable, Equatable {
    /// How often tokens are removed, 0...1; 0 is off.
    public var probability = 0.0
    /// Tokens at least this likely count as top choices, 0...1; above 0.5 there can be no two of them.
    public var threshold = 0.1

    /// Off, with llama.cpp's values for the rest.
    public init() {}
  }

  /// Steers the surprise of the drawn tokens to a target, in place of the truncations (Basu et al. 2021).
  public struct Mirostat: Sendable, Equatable {
    /// 0 is off, 1 and 2 are the paper's two algorithms.
    public var version = 0
    /// The target surprise in bits, 0...100.
    public var tau = 5.0
    /// How fast the bound on surprise follows the error, 0...1.
    public var eta = 0.1

    /// Off, with llama.cpp's values for the rest.
    public init() {}
  }

  /// Beam search: the `width` likeliest beginnings go on side by side, and the best whole text is taken (Wu and others 2016, GNMT).
  public struct Beam: Sendable, Equatable {
    /// How many texts go on at a time, 1...64; 1 is off. Each costs a state of its own.
    public var width = 1
    /// α: log-probabilities are divided by ((5 + length) / 6)^α, so that long texts are not at a loss, 0...10.
    public var lengthPenalty = 0.6
    /// β: texts that leave places of the prompt without attention lose, 0...10; 0 is off. For models with attention alone.
    public var coveragePenalty = 0.0

    /// Off, with GNMT's length penalty for the rest.
    public init() {}
  }

  /// Options that take the likeliest token.
  public init() {}
}
