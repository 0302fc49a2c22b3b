import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText
import Synchronization

/// A training run: a model, its data, its optimiser, and the states that it carries.
///
/// The same recipe, data and thread count give the same bits, whether the run was stopped in between or not.
public final class Trainer {
  public let recipe: Recipe
  /// How many steps were taken.
  public internal(set) var step = 0
  /// How many tokens were read.
  public internal(set) var tokens: Int64 = 0

  package let model: TrainableModel
  package let tokenizer: Tokenizer
  let sources: [any DataSource]
  let optimizerState: OptimizerState
  let lanes: Lanes
  let workers: [TrainingWorker]
  private let team: WorkerTeam
  
  /// What one step came to.
  public struct Report: Sendable {
    public var step: Int
    /// The mean loss over all weighted targets, in nats.
    public var loss: Double
    /// The share of targets of weight 1 or more that had the largest logit.
    public var accuracy: Double
    public var gradientNorm: Double
    public var learningRate: Double
    public var tokens: Int
    public var seconds: Double
    /// The part of the workers' time that each kind of operation took.
    public var shares: [(kind: String, share: Double)]
  }

  /// Prepares a run from its beginning.
  ///
  /// - Parameters:
  ///   - threads: how many samples are learned from at once; the sum of their gradients depends on it in its last bits.
  public convenience init(_ recipe: Recipe, threads: Int) throws {
    try self.init(recipe, threads: threads, table: .fromEnvironment())
  }

  package init(_ recipe: Recipe, threads: Int, table: KernelTable) throws {
    self.recipe = recipe
    let files = try recipe.start.map { ModelFiles(folder: recipe.resolved($0)) }
    (model, tokenizer) = try Self.begin(recipe, files, table)
    guard tokenizer.vocabularyCount <= model.shape.vocabulary else {
      throw MeanderError(
        .badData, "the tokenizer has \(tokenizer.vocabularyCount) ids, the model's vocabulary is \(model.shape.vocabulary)",
        at: recipe.path, remedy: "Set vocab_size to at least the tokenizer's count.")
    }
    let context = SourceContext(
      tokenizer: tokenizer, lanes: recipe.batch, seed: recipe.seed, folder: recipe.folder)
    sources = try recipe.data.enumerated().map {
      try DataSources.make($1, file: "\(recipe.path), data[\($0)]", context)
    }
    lanes = Lanes(model, recipe, sources: sources.count)
    optimizerState = OptimizerState(model.parameters, averages: recipe.optimizer.average > 0)
    let blocks = try model.blocks()
    let count = max(1, min(threads, recipe.batch))
    workers = (0..<count).map { [model] _ in
      TrainingWorker(
        model, blocks: blocks, table: table, tapeTokens: recipe.tape, trainsWeights: recipe.trainsWeights,
        trainsState: recipe.stateStart == .trained)
    }
    team = WorkerTeam(threads: count)
  }

  private static func begin(
    _ recipe: Recipe, _ files: ModelFiles?, _ table: KernelTable
  ) throws -> (TrainableModel, Tokenizer) {
    let tokenizer = try recipe.tokenizer.map { try Tokenizer.reading(try FileBytes.mapping(recipe.resolved($0))) }
    guard let files else {
      let model = try TrainableModel(recipe.model ?? .null, file: "\(recipe.path), model", table: table)
      try model.initialize(recipe.initialization)
      return (model, tokenizer ?? .bytes)
    }
    guard let file = try files.file("config.json") else {
      throw MeanderError(.notFound, "has no config.json", at: files.name)
    }
    let model = try TrainableModel(try JSON.parse(file), file: file.path, table: table)
    try model.parameters.read(try TensorStore.open(files))
    return (model, try tokenizer ?? .load(files))
  }

  /// Takes one step: reads a batch, goes forth and back, and moves the weights.
  ///
  /// Throws `.nonFinite` naming step, source and row when the loss or the gradient is not a number; the weights are then those of
  /// the step before.
  public func advance() throws -> Report {
    let clock = ContinuousClock()
    let start = clock.now
    for worker in workers { worker.begin() }
    let blocks = try model.blocks()
    var picks: [Pick] = []
    var sums: [LossSum] = []
    for part in 0..<recipe.accumulate {
      let chosen = try draw(part)
      // Every part of a step counts by its own weights, so that a batch in parts is the batch as one.
      picks += chosen
      sums += try learn(chosen, blocks)
    }
    try settle(picks, sums)
    let total = sums.reduce(into: LossSum()) { $0 += $1 }
    let gradient = gather()
    let norm = recipe.optimizer.norm(of: gradient, model.parameters, kernels: kernels) / max(total.weight, .leastNormalMagnitude)
    guard norm.isFinite else { throw nonFinite(gradient) }
    let factor = recipe.schedule.factor(step: step, of: recipe.steps)
    if total.weight > 0 {
      workers[0].clock.measure(.optimizer) { move(gradient, weight: total.weight, norm: norm, factor: factor) }
    }
    let count = picks.reduce(0) { $0 + $1.sample.segments.reduce(0) { $0 + $1.tokens.count } }
    tokens += Int64(count)
    step += 1
    return Report(
      step: step, loss: total.weight > 0 ? total.loss / total.weight : 0,
      accuracy: total.answers > 0 ? Double(total.right) / Double(total.answers) : 0, gradientNorm: norm,
      learningRate: recipe.optimizer.rate * factor, tokens: count, seconds: start.duration(to: clock.now).seconds,
      shares: shares())
  }

  /// The rows of a batch, each from a source drawn by the shares.
  private func draw(_ part: Int) throws -> [Pick] {
    try (0..<recipe.batch).map { row in
      let seed = SplitMix64.mixed(recipe.seed &+ SplitMix64.mixed(UInt64((step * recipe.accumulate + part) * recipe.batch + row)))
      var generator = SplitMix64(seed: seed)
      var rest = generator.uniform() * recipe.data.reduce(0) { $0 + $1.share }
      var source = 0
      while source + 1 < sources.count, rest >= recipe.data[source].share {
        rest -= recipe.data[source].share
        source += 1
      }
      let sample = try sources[source].next(lane: row, length: recipe.length)
      let (state, isTrained) = lanes.state(source: source, row: row, continues: sample.continues, seed: seed)
      return Pick(source: source, row: row, sample: sample, state: state, startsTrained: isTrained, seed: seed)
    }
  }

  /// Goes forth and back over each sample; the gradients gather in the workers. Worker w takes rows w, w + W and so on.
  private func learn(_ picks: [Pick], _ blocks: Blocks) throws -> [LossSum] {
    let results = Results(count: picks.count)
    let (workers, recipe) = (workers, recipe)
    team.run(workers.count) { index in
      let worker = workers[index]
      for row in stride(from: index, to: picks.count, by: workers.count) {
        let pick = picks[row]
        var orders = TrainingWorker.Orders(scale: 1, recomputes: recipe.recomputes)
        if recipe.dropout > 0 { orders.dropped = Dropout(rate: Float(recipe.dropout), seed: pick.seed) }
        results.set(row, Result { try worker.learn(pick.sample, state: pick.state, blocks: blocks, orders) })
        if pick.startsTrained { worker.gatherInitial() }
      }
    }
    return try results.values()
  }

  /// Tells the sources how they did, and stops at a loss that is not a number.
  private func settle(_ picks: [Pick], _ sums: [LossSum]) throws {
    for (pick, sum) in zip(picks, sums) where !sum.loss.isFinite {
      throw MeanderError(
        .nonFinite, "the loss is not a number",
        at: "step \(step + 1), data[\(pick.source)], row \(pick.row)",
        remedy: "The last checkpoint is good. Resume from it with a lower rate or a smaller clip.")
    }
    for source in sources.indices {
      let own = zip(picks, sums).filter { $0.0.source == source }.map(\.1)
      let answers = own.reduce(0) { $0 + $1.answers }
      guard answers > 0 else { continue }
      sources[source].learned(Double(own.reduce(0) { $0 + $1.right }) / Double(answers))
    }
    lanes.settle(picks.map(\.state))
  }

  /// The sum of all workers' gradients, in the first one's place.
  private func gather() -> Storage {
    for worker in workers.dropFirst() {
      for entry in model.parameters.entries {
        kernels.add(
          model.parameters.matrix(entry, in: worker.gradient), to: model.parameters.matrix(entry, in: workers[0].gradient))
      }
      if let initial = worker.initialGradient, let sum = workers[0].initialGradient { lanes.trained?.add(initial, to: sum, kernels) }
    }
    return workers[0].gradient
  }

  /// Moves the weights, and the initial state where it is learned.
  private func move(_ gradient: Storage, weight: Double, norm: Double, factor: Double) {
    if recipe.trainsWeights {
      recipe.optimizer.step(
        model.parameters, gradient: gradient, weight: weight, norm: norm, state: optimizerState, factor: factor,
        width: model.shape.width, baseWidth: recipe.initialization.baseWidth, kernels: kernels)
    }
    if let trained = lanes.trained, let initial = workers[0].initialGradient {
      trained.move(initial, weight: weight, recipe.optimizer, factor: factor, kernels)
    }
  }

  private var kernels: Kernels { workers[0].kernels }

  private func nonFinite(_ gradient: Storage) -> MeanderError {
    let parameters = model.parameters
    let entry = parameters.entries.first { entry in
      let values = parameters.matrix(entry, in: gradient)
      return !kernels.dot(values, values).isFinite
    }
    return MeanderError(
      .nonFinite, "the gradient is not a number", at: "step \(step + 1), tensor \(entry?.name ?? "?")",
      remedy: "The last checkpoint is good. Resume from it with a lower rate or a smaller clip.")
  }

  private func shares() -> [(kind: String, share: Double)] {
    let clock = KernelClock()
    for worker in workers {
      clock.add(worker.clock)
      worker.clock.reset()
    }
    return clock.shares.map { ($0.kind.rawValue, $0.share) }
  }
}

/// A sample, where it came from, and the state that it is read from.
struct Pick: @unchecked Sendable {
  // Safe as Sendable: its state belongs to one row, and a row to one worker.
  let source: Int
  let row: Int
  let sample: Sample
  let state: ModelState
  let startsTrained: Bool
  let seed: UInt64
}

/// What the workers of a step came to, by row.
private final class Results: Sendable {
  private let all: Mutex<[Result<LossSum, any Error>?]>

  init(count: Int) { all = Mutex(Array(repeating: nil, count: count)) }

  func set(_ row: Int, _ result: Result<LossSum, any Error>) { all.withLock { $0[row] = result } }

  func values() throws -> [LossSum] { try all.withLock { $0 }.compactMap { try $0?.get() } }
}

extension Duration {
  var seconds: Double {
    let (whole, rest) = components
    return Double(whole) + Double(rest) * 1e-18
  }
}
