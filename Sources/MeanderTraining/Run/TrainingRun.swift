import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// A recipe carried out: steps, a line of the log for each, checkpoints, evaluations, and in the end the model.
///
/// Below the recipe's output folder: `log.jsonl`, `checkpoint-STEP.safetensors` (the newest two), and the finished model.
public final class TrainingRun {
  /// How a run ended.
  public enum Ending: Sendable {
    /// All steps were taken, and the model is written.
    case finished
    /// It was asked to stop, and wrote a checkpoint.
    case interrupted
  }

  /// What takes the steps.
  public let trainer: Trainer
  private let folder: String
  /// What rank 0 writes; the other ranks of a distributed run write nothing.
  private let log: OutputFile?
  private var evaluator: Evaluator?

  /// Prepares a run, from its beginning or from its newest checkpoint that is whole.
  ///
  /// A fresh run refuses a folder that holds checkpoints; a resumed one without any starts from the beginning. The log is cut
  /// back to the step that the run goes on from.
  ///
  /// - Parameters:
  ///   - threads: how many samples are learned from at once.
  ///   - resumes: whether to go on from the newest checkpoint.
  ///   - exchange: how the ranks of a distributed run meet; all see one output folder, and rank 0 writes to it.
  public init(_ recipe: Recipe, threads: Int, resumes: Bool, exchange: (any GradientExchange)? = nil) throws {
    let folder = recipe.resolvedOutput
    self.folder = folder
    let writes = exchange?.rank ?? 0 == 0
    if writes { try Folder.make(folder) }
    let checkpoints = try Self.checkpoints(in: folder)
    guard resumes || checkpoints.isEmpty else {
      throw MeanderError(
        .badRequest, "a run of this recipe has been here before", at: folder,
        remedy: "Go on with --resume, or remove the folder to begin again.")
    }
    trainer = try Self.trainer(
      recipe, threads: threads, exchange, checkpoints: checkpoints.map { "\(folder)/\($0.name)" })
    // Nobody writes before all have seen the folder as it was.
    try trainer.agree()
    guard writes else {
      log = nil
      return
    }
    if let evaluation = recipe.evaluation { evaluator = try Evaluator(evaluation, trainer) }
    let logPath = "\(folder)/log.jsonl"
    let kept = try Self.lines(of: logPath, through: trainer.step)
    let log = try OutputFile(logPath)
    try log.truncate(to: kept)
    self.log = log
  }

  /// The run at its newest checkpoint; a damaged one is passed over for the one before it.
  private static func trainer(
    _ recipe: Recipe, threads: Int, _ exchange: (any GradientExchange)?, checkpoints: [String]
  ) throws -> Trainer {
    var failure: MeanderError?
    for path in checkpoints {
      let trainer = try Trainer(recipe, threads: threads, exchange: exchange)
      do {
        try trainer.restore(checkpoint: path)
        return trainer
      } catch let error as MeanderError where error.code == .badData {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
    return try Trainer(recipe, threads: threads, exchange: exchange)
  }

  /// Steps until the recipe's last one.
  ///
  /// - Parameters:
  ///   - shouldStop: asked after each step; a run that is stopped writes a checkpoint first.
  ///   - visit: called after each step.
  public func run(shouldStop: () -> Bool, visit: (Trainer.Report) throws -> Void) throws -> Ending {
    let recipe = trainer.recipe
    let clock = ContinuousClock()
    var written = clock.now
    // A run of many machines may lose one at any moment: there is a checkpoint from the beginning.
    if let exchange = trainer.exchange, exchange.ranks > 1, trainer.step == 0 { try checkpoint() }
    while trainer.step < recipe.steps {
      let report = try trainer.advance()
      try record(report)
      try visit(report)
      let isLate = written.duration(to: clock.now) >= .seconds(recipe.checkpointSeconds)
      let isDue = recipe.checkpointSteps > 0 && trainer.step % recipe.checkpointSteps == 0
      // What one rank decides by its own clock or signals, all do.
      let wishes = [shouldStop() ? 1.0 : 0, log != nil && isLate ? 1 : 0]
      let decisions = try trainer.exchange?.sum(wishes) ?? wishes
      let stops = decisions[0] > 0
      if stops || isDue || decisions[1] > 0 || trainer.step == recipe.steps {
        try checkpoint()
        written = clock.now
      }
      if stops, trainer.step < recipe.steps { return .interrupted }
    }
    if log != nil { try trainer.export(to: folder, figures: try figures()) }
    return .finished
  }

  /// Writes a step's line of the log, with an evaluation where one is due.
  private func record(_ report: Trainer.Report) throws {
    guard let log else { return }
    var line = report.json
    if let evaluation = trainer.recipe.evaluation, let evaluator,
      trainer.step % evaluation.every == 0 || trainer.step == trainer.recipe.steps
    {
      line.append(("evaluation", JSON(try evaluator.measure(trainer))))
    }
    try log.append(JSON(line).write() + [0x0a])
    try log.flush()
  }

  /// What the card tells of the run: the mean loss of its last hundred steps, and its last evaluation.
  private func figures() throws -> [(name: String, value: Double)] {
    let path = "\(folder)/log.jsonl"
    let lines = try FileBytes.mapping(path).copy().split(separator: 0x0a).suffix(100).map {
      try JSON.parse(FileBytes(Array($0), path: path))
    }
    let losses = lines.compactMap { $0["loss"]?.double }
    var figures = [("training loss, nats a target, mean of the last \(losses.count) steps", losses.mean)]
    for member in lines.last?["evaluation"]?.object?.members ?? [] {
      if let value = member.value.double { figures.append(("evaluation: \(member.key)", value)) }
    }
    return figures
  }

  /// What a run's log tells of all its steps: tokens read, and seconds that they took.
  package static func totals(of folder: String) throws -> (tokens: Int, seconds: Double) {
    let path = "\(folder)/log.jsonl"
    return try FileBytes.mapping(path).copy().split(separator: 0x0a).reduce(into: (0, 0.0)) { totals, line in
      let json = try JSON.parse(FileBytes(Array(line), path: path))
      let tokens = json["tokens"]?.integer ?? 0
      totals.tokens += tokens
      totals.seconds += Double(tokens) / max(1, json["tokens_per_second"]?.double ?? 1)
    }
  }

  private func checkpoint() throws {
    try trainer.gatherLanes()
    guard log != nil else { return }
    let digits = String(trainer.step)
    let name = "checkpoint-" + String(repeating: "0", count: max(0, 9 - digits.count)) + digits + ".safetensors"
    try trainer.write(checkpoint: "\(folder)/\(name)")
    for old in try Self.checkpoints(in: folder).dropFirst(2) { try Folder.remove("\(folder)/\(old.name)") }
  }

  /// The checkpoints of a folder, the newest first.
  private static func checkpoints(in folder: String) throws -> [(name: String, step: Int)] {
    try Folder.names(in: folder).compactMap { name in
      guard name.hasPrefix("checkpoint-"), name.hasSuffix(".safetensors") else { return nil }
      return Int(name.dropFirst("checkpoint-".count).dropLast(".safetensors".count)).map { (name, $0) }
    }.sorted { $0.step > $1.step }
  }

  /// How many bytes of the log tell of steps up to `step`.
  private static func lines(of path: String, through step: Int) throws -> Int64 {
    guard step > 0, let bytes = try? FileBytes.mapping(path).copy() else { return 0 }
    var kept = 0
    for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false).dropLast() {
      guard let json = try? JSON.parse(FileBytes(Array(line), path: path)), let number = json["step"]?.integer, number <= step
      else { break }
      kept += line.count + 1
    }
    return Int64(kept)
  }
}

extension [Double] {
  fileprivate var mean: Double { isEmpty ? 0 : reduce(0, +) / Double(count) }
}

extension Trainer.Report {
  /// The report's line of the log.
  var json: [(String, JSON)] {
    [
      ("step", JSON(step)), ("loss", JSON(loss)), ("accuracy", JSON(accuracy)), ("learning_rate", JSON(learningRate)),
      ("gradient_norm", JSON(gradientNorm)), ("tokens", JSON(tokens)),
      ("tokens_per_second", JSON(seconds > 0 ? Double(tokens) / seconds : 0)),
      ("gauge", JSON(gauge.map { ($0.name, .array($0.layers.map { JSON($0) })) })), ("shares", JSON(shares.map { ($0.kind, JSON($0.share)) })),
    ]
  }
}
