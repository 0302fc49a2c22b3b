import MeanderKernels
import MeanderModels

/// Blocks that read tokens on one tape and go back over it, and what is checked of them.
struct TapedStack {
  let parameters: Parameters
  /// The sum over the tokens.
  let loss: Double
  private let gradient: Storage

  /// - Parameters:
  ///   - runs: how `ids` are cut; each run goes on from the state of the one before.
  ///   - first: the position of the first token.
  ///   - scale: what every token's loss counts in the gradient.
  init(
    _ parameters: Parameters, ids: [Int32], targets: [Int32], runs: [Range<Int>], first: Int = 0, scale: Float,
    recomputes: Bool, build: (WeightReader) throws -> Blocks
  ) throws {
    self.parameters = parameters
    let blocks = try WeightReader.build(from: parameters, table: .best, build)
    var layout = StateLayout()
    let regions = blocks.declareState(in: &layout)
    let state = ModelState(layout: layout)
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    let arena = Arena(byteCount: 1 << 22)
    let gradients = Gradients()
    gradient = gradients.adopt(parameters.storage)
    gradients.adopt(arena.storage)
    gradients.adopt(state.storage)
    let tape = Tape(gradients)
    var sum = LossSum()
    for run in runs {
      var operations = Operations(kernels: kernels, arena: arena, tape: tape)
      operations.recomputes = recomputes
      let hidden = blocks.forward(
        ids[run], position: Int64(first + run.lowerBound), state: { MixerState(state: state, regions: regions[$0]) },
        outputs: run.count, operations)
      state.setPosition(Int64(first + run.upperBound))
      operations.crossEntropy(
        hidden, head: blocks.head, targets: Array(targets[run]), weights: run.map { _ in 1 }, scale: scale) { sum += $0 }
    }
    try tape.backward()
    loss = sum.loss
  }

  /// The parameters by name, as numbers that a definition in Double can move.
  var values: [String: [Double]] {
    Dictionary(
      uniqueKeysWithValues: parameters.entries.map { ($0.name, parameters.matrix($0).array().map(Double.init)) })
  }

  /// What the way back found for a parameter.
  func gradient(of entry: Parameters.Entry) -> [Double] {
    parameters.matrix(entry, in: gradient).array().map(Double.init)
  }

  /// The slope of `loss` in each number of a parameter, by differences.
  func slopes(of entry: Parameters.Entry, _ loss: ([String: [Double]]) -> Double) -> [Double] {
    let values = values
    return values[entry.name, default: []].indices.map { place in
      func at(_ step: Double) -> Double {
        var moved = values
        moved[entry.name]![place] += step
        return loss(moved)
      }
      return (at(1e-5) - at(-1e-5)) / 2e-5
    }
  }
}
