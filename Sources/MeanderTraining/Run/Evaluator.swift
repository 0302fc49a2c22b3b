import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// Measures a model in training on data of its own: the same samples each time, the states from zero.
final class Evaluator {
  private let evaluation: Recipe.Evaluation
  private let sources: [any DataSource]
  private let beginnings: [SourcePosition]

  init(_ evaluation: Recipe.Evaluation, _ trainer: Trainer) throws {
    self.evaluation = evaluation
    let recipe = trainer.recipe
    let context = SourceContext(
      tokenizer: trainer.tokenizer, lanes: 1, seed: recipe.seed &+ 0x5eed, folder: recipe.folder)
    sources = try evaluation.data.enumerated().map {
      try DataSources.make($1, file: "\(recipe.path), evaluation.data[\($0)]", context)
    }
    beginnings = sources.map(\.position)
  }

  /// Per source, the loss in nats a token, and the share of answers that were right where answers are asked for.
  func measure(_ trainer: Trainer) throws -> [(String, JSON)] {
    let blocks = try trainer.averagedBlocks()
    var results: [(String, JSON)] = []
    for (index, source) in sources.enumerated() {
      try source.restore(beginnings[index])
      let name = sources.count == 1 ? evaluation.data[index].kind : "\(evaluation.data[index].kind)-\(index)"
      let (total, exact) = try trainer.measure(source, samples: evaluation.samples, blocks: blocks)
      results.append(("\(name) loss", JSON(total.weight > 0 ? total.loss / total.weight : 0)))
      if total.answers > 0, total.answers < Int(total.weight) || exact < 1 {
        results.append(("\(name) exact", JSON(exact)))
      }
    }
    return results
  }
}

extension Trainer {
  /// What a source's next samples cost, and how many were answered wholly right.
  func measure(_ source: any DataSource, samples: Int, blocks: Blocks) throws -> (total: LossSum, exact: Double) {
    var total = LossSum()
    var exact = 0
    let state = model.makeState()
    for _ in 0..<samples {
      let sample = try source.next(lane: 0, length: recipe.length)
      if !sample.continues { state.clear() }
      let sum = workers[0].measure(sample, state: state, blocks: blocks)
      if sum.answers > 0, sum.right == sum.answers { exact += 1 }
      total += sum
    }
    return (total, Double(exact) / Double(samples))
  }

  /// The weights as evaluations and exports use them: their average where one is kept.
  func averagedBlocks() throws -> Blocks {
    guard let average = optimizerState.average, optimizerState.steps > 0 else { return try model.blocks() }
    let now = model.parameters.storage.duplicate()
    model.parameters.storage.copy(from: average)
    defer { model.parameters.storage.copy(from: now) }
    return try model.blocks()
  }
}
