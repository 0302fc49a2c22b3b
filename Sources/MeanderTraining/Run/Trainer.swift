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
  /// What the run does.
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
  /// How the ranks of a distributed run meet; nil where there is one.
  let exchange: (any GradientExchange)?
  private let team: WorkerTeam

  /// What one step came to.
  public struct Report: Sendable {
    /// The step's number, from 1.
    public var step: Int
    /// The mean loss over all weighted targets, in nats.
    public var loss: Double
    /// The share of targets of weight 1 or more that had the largest logit.
    public var accuracy: Double
    /// The norm of the mean gradient over all parameters, before it is clipped.
    public var gradientNorm: Double
    /// The rate that the schedule gave.
    public var learningRate: Double
    /// How many tokens the step read.
    public var tokens: Int
    /// How long the step took.
    public var seconds: Double
    /// What the state of the batch's first row looks like after it, layer by layer: the largest norm of a head, and the largest
    /// entry over the root of the mean square.
    public var gauge: [(name: String, layers: [Double])]
    /// The part of the workers' time that each kind of operation took.
    public var shares: [(kind: String, share: Double)]
  }

  /// Prepares a run from its beginning.
  ///
  /// - Parameters:
  ///   - threads: how many samples are learned from at once; the sum of their gradients depends on it in its last bits.
  ///   - sources: where samples come from in place of the recipe's sources, one for each of these and with its share.
  ///   - exchange: how the ranks of a distributed run meet.
  public convenience init(
    _ recipe: Recipe, threads: Int, sources: [any DataSource]? = nil, exchange: (any GradientExchange)? = nil
  ) throws {
    try self.init(recipe, threads: threads, table: .fromEnvironment(), sources: sources, exchange: exchange)
  }

  package init(
    _ recipe: Recipe, threads: Int, table: KernelTable, sources own: [any DataSource]? = nil,
    exchange: (any GradientExchange)? = nil
  ) throws {
    self.recipe = recipe
    self.exchange = exchange
    try Self.check(recipe, sources: own, exchange)
    let files = recipe.start.map { ModelFiles(folder: recipe.resolved($0)) }
    (model, tokenizer) = try Self.begin(recipe, files, table)
    guard tokenizer.vocabularyCount <= model.shape.vocabulary else {
      throw MeanderError(
        .badData, "the tokenizer has \(tokenizer.vocabularyCount) ids, the model's vocabulary is \(model.shape.vocabulary)",
        at: recipe.path, remedy: "Set vocab_size to at least the tokenizer's count.")
    }
    let context = SourceContext(
      tokenizer: tokenizer, lanes: recipe.batch, seed: recipe.seed, folder: recipe.folder)
    if let own {
      sources = own
    } else {
      sources = try recipe.data.enumerated().map {
        try DataSources.make($1, file: "\(recipe.path), data[\($0)]", context)
      }
    }
    lanes = Lanes(model, recipe, sources: sources.count)
    optimizerState = OptimizerState(model.parameters, averages: recipe.optimizer.average > 0)
    let blocks = try model.blocks()
    let count = max(1, min(threads, recipe.batch / (exchange?.ranks ?? 1)))
    workers = (0..<count).map { [model] _ in
      TrainingWorker(
        model, blocks: blocks, table: table, tapeTokens: recipe.tape, trainsWeights: recipe.trainsWeights,
        trainsState: recipe.stateStart == .trained)
    }
    team = WorkerTeam(threads: count)
  }

  /// What a distributed run and sources of one's own ask of a recipe.
  private static func check(_ recipe: Recipe, sources: [any DataSource]?, _ exchange: (any GradientExchange)?) throws {
    if let sources, sources.count != recipe.data.count {
      throw MeanderError(.badRequest, "\(sources.count) sources for the \(recipe.data.count) of the recipe", at: recipe.path)
    }
    guard let exchange, exchange.ranks > 1 else { return }
    guard recipe.batch % exchange.ranks == 0 else {
      throw MeanderError(
        .badRequest, "\(exchange.ranks) ranks cannot share a batch of \(recipe.batch) evenly", at: recipe.path,
        remedy: "Choose a batch that is a multiple of the number of ranks.")
    }
    guard recipe.stateStart != .noise else {
      throw MeanderError(
        .unsupported, "fitted noise as initial state is not to be had with more than one rank", at: recipe.path,
        remedy: "Run on one rank, or begin from another state.")
    }
  }

  private static func begin(
    _ recipe: Recipe, _ files: ModelFiles?, _ table: KernelTable
  ) throws -> (TrainableModel, Tokenizer) {
    let tokenizer = try recipe.tokenizer.map { try Tokenizer.reading(try FileBytes.mapping(recipe.resolved($0))) }
    guard let files, recipe.startLayers == nil else {
      let model = try TrainableModel(recipe.model ?? .null, file: "\(recipe.path), model", table: table)
      try model.initialize(recipe.initialization)
      guard let files, let layers = recipe.startLayers else { return (model, tokenizer ?? .bytes) }
      try model.parameters.grow(from: try TensorStore.open(files), layers: layers)
      return (model, try tokenizer ?? .load(files))
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
    let miner = NegativeMiner(model, blocks: blocks, kernels: kernels, tokenizer: tokenizer)
    for source in sources { try (source as? any RecipeSource)?.prepare(step: step, miner) }
    let groups = exchange.map {
      GradientGroups($0, workers, model.parameters, layers: model.shape.layers, initial: lanes.trained)
    }
    var picks: [Pick] = []
    var sums: [LossSum] = []
    for part in 0..<recipe.accumulate {
      let chosen = try draw(part)
      // Every part of a step counts by its own weights, so that a batch in parts is the batch as one.
      picks += chosen
      sums += try learn(chosen, blocks, groups: part == recipe.accumulate - 1 ? groups : nil)
    }
    if let groups { try groups.finish() } else { gather() }
    let gradient = workers[0].gradient
    let count = picks.reduce(0) { $0 + $1.sample.segments.reduce(0) { $0 + $1.tokens.count } }
    let (total, tokenCount) = try settle(picks, sums, tokens: count)
    let norm = recipe.optimizer.norm(of: gradient, model.parameters, kernels: kernels) / max(total.weight, .leastNormalMagnitude)
    guard norm.isFinite else { throw nonFinite("gradient", at: batch(picks)) }
    let factor = recipe.schedule.factor(step: step, of: recipe.steps)
    if total.weight > 0 {
      workers[0].clock.measure(.optimizer) { move(gradient, weight: total.weight, norm: norm, factor: factor) }
    }
    tokens += Int64(tokenCount)
    step += 1
    return Report(
      step: step, loss: total.weight > 0 ? total.loss / total.weight : 0,
      accuracy: total.answers > 0 ? Double(total.right) / Double(total.answers) : 0, gradientNorm: norm,
      learningRate: recipe.optimizer.rate * factor, tokens: tokenCount, seconds: start.duration(to: clock.now).seconds,
      gauge: picks.first.map { gauge($0.state, blocks) } ?? [], shares: shares())
  }

  /// The rows of a batch, each from a source drawn by the shares; of a distributed run, this rank's. Every rank moves all sources
  /// on, so that they stand at the same place everywhere.
  private func draw(_ part: Int) throws -> [Pick] {
    try (0..<recipe.batch).compactMap { row in
      let seed = SplitMix64.mixed(recipe.seed &+ SplitMix64.mixed(UInt64((step * recipe.accumulate + part) * recipe.batch + row)))
      var generator = SplitMix64(seed: seed)
      var rest = generator.uniform() * recipe.data.reduce(0) { $0 + $1.share }
      var source = 0
      while source + 1 < sources.count, rest >= recipe.data[source].share {
        rest -= recipe.data[source].share
        source += 1
      }
      let sample = try sources[source].next(lane: row, length: recipe.length)
      guard ownRows.contains(row) else { return nil }
      let (state, isTrained) = lanes.state(source: source, row: row, continues: sample.continues, seed: seed)
      return Pick(source: source, row: row, sample: sample, state: state, startsTrained: isTrained, seed: seed)
    }
  }

  /// The rows of the batch that this process learns from.
  var ownRows: Range<Int> {
    let count = recipe.batch / (exchange?.ranks ?? 1)
    return (exchange?.rank ?? 0) * count..<((exchange?.rank ?? 0) + 1) * count
  }

  /// Goes forth and back over each sample; the gradients gather in the workers. Worker w takes rows w, w + W and so on, and tells
  /// `groups` of what is complete on its way back over the last of them.
  private func learn(_ picks: [Pick], _ blocks: Blocks, groups: GradientGroups?) throws -> [LossSum] {
    let results = Results(count: picks.count)
    let (workers, recipe) = (workers, recipe)
    team.run(workers.count) { index in
      let worker = workers[index]
      for row in stride(from: index, to: picks.count, by: workers.count) {
        let pick = picks[row]
        var orders = TrainingWorker.Orders(scale: 1, recomputes: recipe.recomputes)
        if recipe.dropout > 0 { orders.dropped = Dropout(rate: Float(recipe.dropout), seed: pick.seed) }
        let isLast = row + workers.count >= picks.count
        if isLast, let groups { orders.completed = { groups.complete($0) } }
        results.set(row, Result { try worker.learn(pick.sample, state: pick.state, blocks: blocks, orders) })
        if pick.startsTrained { worker.gatherInitial() }
        if isLast, let groups {
          groups.complete(groups.around)
          groups.complete(groups.around + 1)
        }
      }
    }
    return try results.values()
  }

  /// Tells the sources how they did, and stops at a loss that is not a number: what all ranks came to together.
  private func settle(_ picks: [Pick], _ sums: [LossSum], tokens: Int) throws -> (LossSum, tokens: Int) {
    var own: [Double] = [Double(tokens)]
    for source in [nil] + sources.indices.map({ Optional($0) }) {
      let part = zip(picks, sums).reduce(into: LossSum()) { if source == nil || $1.0.source == source { $0 += $1.1 } }
      own += [part.loss, part.weight, Double(part.answers), Double(part.right)]
    }
    let all = try exchange?.sum(own) ?? own
    for (pick, sum) in zip(picks, sums) where !sum.loss.isFinite {
      throw nonFinite("loss", at: "data[\(pick.source)], row \(pick.row)")
    }
    guard all[1].isFinite else { throw nonFinite("loss", at: "a row of another rank") }
    for source in sources.indices where all[4 * source + 7] > 0 {
      sources[source].learned(all[4 * source + 8] / all[4 * source + 7])
    }
    lanes.settle(picks.map(\.state))
    var total = LossSum()
    (total.loss, total.weight, total.answers, total.right) = (all[1], all[2], Int(all[3]), Int(all[4]))
    return (total, Int(all[0]))
  }

  private func gauge(_ state: ModelState, _ blocks: Blocks) -> [(name: String, layers: [Double])] {
    let heads = model.gauge(of: state, blocks, kernels: kernels)
    return [
      ("norm", heads.map { $0.map(\.norm).max() ?? 0 }),
      ("largest over RMS", heads.map { $0.map(\.largestOverRMS).max() ?? 0 }),
    ]
  }

  /// The sum of all workers' gradients, in the first one's place.
  private func gather() {
    for worker in workers.dropFirst() {
      for entry in model.parameters.entries {
        kernels.add(
          model.parameters.matrix(entry, in: worker.gradient), to: model.parameters.matrix(entry, in: workers[0].gradient))
      }
      if let initial = worker.initialGradient, let sum = workers[0].initialGradient { lanes.trained?.add(initial, to: sum, kernels) }
    }
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

  /// Reads the gradient of a parameter as the first worker has it by now: for tests.
  package var firstGradient: @Sendable (_ name: String) -> [Float] {
    let twins = model.parameters.entries.map { ($0.name, model.parameters.matrix($0, in: workers[0].gradient)) }
    let byName = Dictionary(uniqueKeysWithValues: twins)
    return { byName[$0]?.array() ?? [] }
  }

  /// A batch by its sources and rows.
  private func batch(_ picks: [Pick]) -> String {
    sources.indices.compactMap { source in
      let rows = picks.filter { $0.source == source }.map { "\($0.row)" }
      return rows.isEmpty ? nil : "data[\(source)], rows \(rows.joined(separator: ", "))"
    }.joined(separator: "; ")
  }

  /// What is wrong, at which step, in which tensor and for what of the batch. The tensor is the first weight that is not finite,
  /// else the first whose gradient is not.
  private func nonFinite(_ what: String, at place: String) -> MeanderError {
    func first(_ storage: Storage) -> String? {
      model.parameters.entries.first { entry in
        let values = model.parameters.matrix(entry, in: storage)
        return !kernels.dot(values, values).isFinite
      }?.name
    }
    let tensor = first(model.parameters.storage) ?? first(workers[0].gradient).map { "gradient of \($0)" } ?? "logits"
    return MeanderError(
      .nonFinite, "the \(what) is not a number", at: "step \(step + 1), tensor \(tensor), \(place)",
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
