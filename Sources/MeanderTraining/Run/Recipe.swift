import MeanderErrors
import MeanderFiles
import MeanderModels

/// Everything that decides what a training run does: the same recipe, data and thread count give the same bits.
///
/// Read from JSON; a key that means nothing is refused by name. `Docs/Training.md` lists the keys.
public struct Recipe: Sendable {
  /// Where a lane's state begins when its sample does not continue the last one (Ruiz and Gu 2025).
  public enum StateStart: String, Sendable, CaseIterable {
    /// All zeros.
    case zero
    /// The state that the lane's last sample left, unrelated as it is, with the gradient stopped.
    case pass
    /// Normal noise with the mean and deviation of each head's final states so far.
    case noise
    /// A state that is itself learned. With `trainsWeights` false nothing else is: state tuning.
    case trained
  }

  /// What is measured during a run, on data of its own.
  package struct Evaluation: Sendable {
    package var every: Int
    package var samples: Int
    package var data: [SourceRecipe]
  }

  /// One source and how often it is asked.
  package struct SourceRecipe: Sendable {
    package var kind: String
    package var share: Double
    package var options: JSON
  }

  /// The file that it was read from, and its folder, where relative paths start.
  public let path: String
  /// The folder that relative paths of the recipe start from.
  public var folder: String { path.lastIndex(of: "/").map { String(path[..<$0]) } ?? "." }
  package let json: JSON
  /// The model's `config.json`; nil where `start` names a checkpoint that has one.
  package var model: JSON?
  /// A folder of a model to start from.
  public var start: String?
  /// Where both are given: the layer of `start` that each layer of `model` is taken from, or nil for a new one.
  package var startLayers: [Int?]?
  package var initialization = Initialization()
  /// A tokenizer file, or nil for bytes or what `start` has.
  public var tokenizer: String?
  package var data: [SourceRecipe]
  /// B, samples of a batch.
  public var batch: Int
  /// How many batches are gathered before the weights move.
  public var accumulate: Int
  /// T, the longest segment in tokens.
  public var length: Int
  /// The most tokens that are gone back over at once.
  public var tape: Int
  /// How often the weights move.
  public var steps: Int
  /// How they move.
  public var optimizer = AdamW()
  /// How the rate moves.
  public var schedule = Schedule()
  /// The share of each layer's normalised inputs that is dropped.
  public var dropout: Double
  /// Where a lane's state begins when its sample does not continue the last one.
  public var stateStart = StateStart.zero
  /// The part of fresh samples that start from `stateStart`; the others start from zeros.
  public var stateShare: Double
  /// Whether the weights move; with a trained initial state they may stand still.
  public var trainsWeights: Bool
  /// Whether blocks are computed again on the way back.
  public var recomputes: Bool
  package var evaluation: Evaluation?
  /// Seconds from one checkpoint to the next.
  public var checkpointSeconds: Int
  /// Steps from one checkpoint to the next, or 0.
  public var checkpointSteps: Int
  /// Whether checkpoints are made small: moments in bf16, and no carried states. A run that goes on from one is then not the
  /// same to the bit.
  public var compactsCheckpoints = false
  /// Where the run writes: checkpoints, log, and in the end the model.
  public var output: String
  /// What weights are stored as in the end.
  package var stored: ElementType
  /// What all that is drawn follows from.
  public var seed: UInt64
  package var card: ModelCard
}

extension Recipe {
  /// Reads a recipe. Throws `.badData` naming the key that is wrong, missing, or not known.
  public init(path: String) throws {
    let file = try FileBytes.mapping(path)
    try self.init(try JSON.parse(file), path: path)
  }

  package init(_ json: JSON, path: String) throws {
    self.path = path
    self.json = json
    var recipe = try Configuration(json, file: path)
    model = recipe.value("model")
    start = try recipe.optionalString("start")
    startLayers = try recipe.value("start_layers").map { value in
      guard let list = value.array, list.allSatisfy({ $0 == .null || ($0.integer ?? -1) >= 0 }) else {
        throw recipe.failure("start_layers", "must be a list of layers' numbers, and null for layers that are new")
      }
      return list.map(\.integer)
    }
    guard startLayers == nil ? (model == nil) != (start == nil) : model != nil && start != nil else {
      throw recipe.failure(
        "model", "or 'start' must be given: sizes to begin with, or a model's folder; both where 'start_layers' says how it grows")
    }
    tokenizer = try recipe.optionalString("tokenizer").flatMap { $0 == "bytes" ? nil : $0 }
    data = try Self.sources(&recipe, "data")
    batch = try recipe.integer("batch", 8, in: 1...1 << 16)
    accumulate = try recipe.integer("accumulate", 1, in: 1...1 << 16)
    length = try recipe.integer("length", 512, in: 1...1 << 20)
    tape = try recipe.integer("tape", max(length, 2048), in: length...1 << 22)
    steps = try recipe.integer("steps", in: 1...1 << 40)
    dropout = try recipe.float("dropout", 0, in: 0...0.9)
    trainsWeights = try recipe.bool("train_weights", true)
    recomputes = try recipe.bool("recompute", false)
    _ = try recipe.string("precision", "fp32", among: ["fp32"])
    output = try recipe.string("output")
    stored = try recipe.string("store", "F32", among: ["F32", "BF16"]) == "BF16" ? .bf16 : .f32
    seed = UInt64(try recipe.integer("seed", 1, in: 0...Int.max))
    stateStart = .zero
    stateShare = 1
    (checkpointSeconds, checkpointSteps) = (600, 0)
    card = ModelCard()
    if var options = try recipe.object("initialization") { try initialization.read(&options) }
    initialization.seed = seed
    if var options = try recipe.object("optimizer") {
      optimizer = try AdamW(&options)
      try options.finish()
    }
    if var options = try recipe.object("schedule") {
      schedule = try Schedule(&options)
      try options.finish()
    }
    if var options = try recipe.object("state") {
      let choices = StateStart.allCases.map(\.rawValue)
      stateStart = StateStart(rawValue: try options.string("start", "zero", among: choices)) ?? .zero
      stateShare = try options.float("share", 1, in: 0...1)
      try options.finish()
    }
    if var options = try recipe.object("evaluation") {
      evaluation = Evaluation(
        every: try options.integer("every", in: 1...1 << 40), samples: try options.integer("samples", 64, in: 1...1 << 24),
        data: try Self.sources(&options, "data"))
      guard evaluation?.data.allSatisfy({ $0.options["power"] == nil }) ?? true else {
        throw options.failure("data", "has a source with 'power', which is for training: no figure is measured with it")
      }
      try options.finish()
    }
    if var options = try recipe.object("checkpoint") {
      checkpointSeconds = try options.integer("seconds", 600, in: 1...1 << 30)
      checkpointSteps = try options.integer("steps", 0, in: 0...1 << 40)
      compactsCheckpoints = try options.bool("compact", false)
      try options.finish()
    }
    if var options = try recipe.object("card") { card = try ModelCard(&options) }
    try recipe.finish()
  }

  private static func sources(_ recipe: inout Configuration, _ key: String) throws -> [SourceRecipe] {
    guard let list = recipe.value(key)?.array, !list.isEmpty else {
      throw recipe.failure(key, "must be a list of at least one source")
    }
    return try list.enumerated().map { index, value in
      var options = try Configuration(value, file: "\(recipe.file), \(key)[\(index)]")
      return SourceRecipe(
        kind: try options.string("source"), share: try options.float("share", 1, in: 0...1e9), options: value)
    }
  }

  /// Where the run writes, as a path from where the program runs.
  public var resolvedOutput: String { resolved(output) }

  /// A path of the recipe, relative to the recipe's folder.
  package func resolved(_ path: String) -> String { path.hasPrefix("/") ? path : "\(folder)/\(path)" }
}

extension Initialization {
  fileprivate mutating func read(_ options: inout Configuration) throws {
    func range(_ key: String, _ fallback: ClosedRange<Double>) throws -> ClosedRange<Double> {
      let bounds = try options.floats(key, [fallback.lowerBound, fallback.upperBound], count: 2, in: 1e-12...1e6)
      guard bounds[0] <= bounds[1] else { throw options.failure(key, "must name the lower bound first") }
      return bounds[0]...bounds[1]
    }
    rate = try range("rate", rate)
    isRateLogarithmic = try options.bool("log_uniform_rate", false)
    timeStep = try range("time_step", timeStep)
    baseWidth = try options.optionalInteger("base_width", in: 1...1 << 20)
    try options.finish()
  }
}
