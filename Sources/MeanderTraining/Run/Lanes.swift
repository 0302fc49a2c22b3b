import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels

/// The states of a run: one for each row of the batch and each source, carried from step to step.
final class Lanes {
  private let model: TrainableModel
  private let recipe: Recipe
  /// By source and row; made when they are first used.
  private(set) var states: [[ModelState?]]
  /// What is learned of the initial state, where one is trained; else nothing.
  let trained: TrainedState?
  private var noise: StateNoise

  init(_ model: TrainableModel, _ recipe: Recipe, sources: Int) {
    self.model = model
    self.recipe = recipe
    states = Array(repeating: Array(repeating: nil, count: recipe.batch), count: sources)
    trained = recipe.stateStart == .trained ? TrainedState(model.layout) : nil
    noise = StateNoise(model.layout)
  }

  /// The state that a sample is read from, and whether it begins as the learned one. What it leaves there is the lane's.
  func state(source: Int, row: Int, continues: Bool, seed: UInt64) -> (ModelState, isTrained: Bool) {
    let state = states[source][row] ?? model.makeState()
    states[source][row] = state
    if continues { return (state, false) }
    var generator = SplitMix64(seed: SplitMix64.mixed(seed))
    let start = generator.uniform() < recipe.stateShare ? recipe.stateStart : .zero
    if start != .pass { state.clear() }
    if start == .noise { noise.fill(state, using: &generator) }
    if start == .trained { trained?.fill(state) }
    return (state, start == .trained)
  }

  /// Takes in what the samples of a step left behind.
  func settle(_ finals: [ModelState]) {
    if recipe.stateStart == .noise { noise.take(finals) }
  }

  /// Puts a lane's state back, as a checkpoint has it.
  func set(source: Int, row: Int, _ state: ModelState) { states[source][row] = state }

  var noiseMoments: [Double] {
    get { noise.moments }
    set { noise.moments = newValue }
  }
}

/// Fitted noise: the mean and deviation of each head's entries over the final states seen so far, as a moving average.
struct StateNoise {
  private let regions: [StateRegion]
  /// Σ weight, then for each head of each region the mean and the mean square.
  var moments: [Double]

  init(_ layout: StateLayout) {
    regions = layout.regions.filter { $0.type == .f32 && $0.name.hasSuffix(".ssm") }
    moments = [0] + regions.flatMap { Array(repeating: 0.0, count: 2 * ($0.shape.first ?? 0)) }
  }

  mutating func take(_ finals: [ModelState]) {
    for state in finals {
      moments[0] = 0.99 * moments[0] + 0.01
      var place = 1
      for region in regions {
        let heads = region.shape.first ?? 0
        let values = state.trueValues(region)
        let size = values.count / max(1, heads)
        for head in 0..<heads {
          let own = values[head * size..<(head + 1) * size]
          moments[place] = 0.99 * moments[place] + 0.01 * own.reduce(0, +) / Double(size)
          moments[place + 1] = 0.99 * moments[place + 1] + 0.01 * own.reduce(0) { $0 + $1 * $1 } / Double(size)
          place += 2
        }
      }
    }
  }

  func fill(_ state: ModelState, using generator: inout SplitMix64) {
    guard moments[0] > 0 else { return }
    var place = 1
    for region in regions {
      let heads = region.shape.first ?? 0
      let size = region.count / max(1, heads)
      var values: [Float] = []
      for _ in 0..<heads {
        let mean = moments[place] / moments[0]
        let deviation = max(0, moments[place + 1] / moments[0] - mean * mean).squareRoot()
        for _ in 0..<size { values.append(Float(mean + deviation * generator.normal())) }
        place += 2
      }
      let matrix = state.matrix(region)
      matrix.copy(from: Matrix(values, rows: matrix.rows, columns: matrix.columns))
    }
  }
}

extension ModelState {
  /// The numbers of a recurrent region with its pending decay applied.
  fileprivate func trueValues(_ region: StateRegion) -> [Double] {
    let values = matrix(region).array()
    let name = region.name.dropLast("ssm".count) + "pending"
    guard let decays = layout[String(name)].map({ doubles($0).array() }), !decays.isEmpty else {
      return values.map { Double($0) }
    }
    let size = values.count / decays.count
    return values.enumerated().map { Double($1) * exponential(decays[$0 / size]) }
  }
}

/// An initial state that is learned: its numbers, and the optimiser's memory of them.
final class TrainedState {
  private let layout: StateLayout
  let value: Storage
  let first: Storage
  let second: Storage
  var steps = 0

  init(_ layout: StateLayout) {
    self.layout = layout
    (value, first, second) = (
      Storage(byteCount: layout.byteCount), Storage(byteCount: layout.byteCount), Storage(byteCount: layout.byteCount)
    )
  }

  /// The regions that are learned: numbers, not sums of decays.
  var regions: [StateRegion] { layout.regions.filter { $0.type == .f32 } }

  func fill(_ state: ModelState) {
    for region in regions { state.matrix(region).copy(from: region.matrix(in: value)) }
  }

  func add(_ gradient: Storage, to sum: Storage, _ kernels: Kernels) {
    for region in regions { kernels.add(region.matrix(in: gradient), to: region.matrix(in: sum)) }
  }

  func move(_ gradient: Storage, weight: Double, _ optimizer: AdamW, factor: Double, _ kernels: Kernels) {
    steps += 1
    let step = optimizer.adamStep(scale: 1 / weight, rate: optimizer.rate * factor, decay: 0, steps: steps)
    for region in regions {
      kernels.adam(
        region.matrix(in: value), gradient: region.matrix(in: gradient), first: region.matrix(in: first),
        second: region.matrix(in: second), step)
    }
  }
}

extension StateRegion {
  /// This region of another storage that is laid out like a state.
  func matrix(in storage: Storage) -> Matrix {
    Matrix(storage, offset: offset, rows: (shape.last ?? 1) == 0 ? 0 : count / (shape.last ?? 1), columns: shape.last ?? 1)
  }
}
