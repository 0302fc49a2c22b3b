import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A model whose numbers change: an architecture, its parameters, and the layout of its states.
package final class TrainableModel {
  package let architecture: any Architecture
  /// The model's `config.json`.
  package let configuration: JSON
  package let parameters: Parameters
  package let layout: StateLayout
  private let index: LayerIndex
  private let regions: [[StateRegion]]
  private let table: KernelTable

  /// The model that a configuration describes, every parameter zero. Throws as loading such a model would.
  package init(_ configuration: JSON, file: String, table: KernelTable) throws {
    let type = try Registry.architecture(for: configuration, file: file)
    var reader = try Configuration(configuration, file: file)
    architecture = try type.init(&reader)
    try reader.finish()
    self.configuration = configuration
    self.table = table
    let architecture = architecture
    parameters = Parameters(try WeightReader.declarations { try architecture.build(from: $0) })
    let blocks = try WeightReader.build(from: parameters, table: table) { try architecture.build(from: $0) }
    var layout = StateLayout()
    index = LayerIndex(blocks, layers: architecture.shape.layers)
    regions = blocks.declareState(in: &layout)
    self.layout = layout
  }

  package var shape: LanguageShape { architecture.shape }

  /// The weights as the parameters now stand, packed for the products. O(parameters).
  package func blocks() throws -> Blocks {
    try WeightReader.build(from: parameters, table: table) { try architecture.build(from: $0) }
  }

  /// The state before the first token.
  package func makeState() -> ModelState { ModelState(layout: layout) }

  /// Sets every parameter to a random beginning, by the architecture's rules.
  package func initialize(_ options: Initialization) throws {
    var generator = SplitMix64(seed: options.seed)
    for entry in parameters.entries {
      let values = try architecture.initialValues(of: entry, options, using: &generator)
      parameters.matrix(entry).copy(from: Matrix(values, rows: entry.rows, columns: entry.columns))
    }
  }

  /// Moves a state over a run of tokens, with or without a tape: the normalised hidden rows, T × D.
  package func forward(_ tokens: [Int32], _ blocks: Blocks, state: ModelState, _ operations: Operations) -> Matrix {
    let hidden = blocks.forward(
      tokens[...], position: state.position, state: { MixerState(state: state, regions: regions[$0]) },
      outputs: tokens.count, operations)
    state.setPosition(state.position + Int64(tokens.count) * Int64(operations.repeats))
    return hidden
  }

  /// Each layer's heads as they stand in a state.
  package func gauge(of state: ModelState, _ blocks: Blocks, kernels: Kernels) -> [[HeadReading]] {
    index.steps.map { steps in
      steps.flatMap { blocks.steps[$0].mixer.readings(of: MixerState(state: state, regions: regions[$0]), kernels: kernels) }
    }
  }

  /// An upper bound on the floats that a tape over `tokens` tokens in `runs` runs allocates.
  package func tapeFloats(tokens: Int, runs: Int, _ blocks: Blocks) -> Int {
    let width = shape.width + 16
    let perToken = blocks.steps.reduce(0) { $0 + 2 * $1.mixer.scratchPerToken + 8 * width } + 7 * width + blocks.carriedWidth
      + 4 * (shape.vocabulary + 32)
    let state = layout.byteCount / 4
    return tokens * perToken + (tokens / 32 + 3 * runs) * (state + 1024) + (1 << 16)
  }
}

/// How a model's parameters begin.
package struct Initialization: Sendable {
  package var seed: UInt64 = 1
  /// -A of a head is drawn from this range.
  package var rate: ClosedRange<Double> = 1...16
  /// Whether -A is uniform in its logarithm.
  package var isRateLogarithmic = false
  /// The time step that a head's bias alone would give is drawn from this range, uniform in its logarithm.
  package var timeStep: ClosedRange<Double> = 1e-3...1e-1
  /// The width at which the rates were tuned, for maximal-update scaling (Yang and others 2022); nil for the standard one.
  package var baseWidth: Int?

  package init() {}
}

extension Architecture {
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    throw MeanderError(
      .unsupported, "\(Self.name) cannot be trained from scratch", remedy: "Train an architecture such as mamba2.")
  }
}
