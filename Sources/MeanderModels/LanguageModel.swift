import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A recurrent language model: immutable weights that any number of states can be moved forward by.
///
/// embedding → steps (norm → mixer → add) → norm → head. Every token goes through the same operations in the same order
/// however the input is cut, so the bits do not depend on the cut, on the number of threads, or on a resume.
package final class LanguageModel: Sendable {
  /// c, the stream's grid in tokens: whatever is not linear and local to a token acts at its multiples alone.
  package static let grid = 512
  /// Up to this vocabulary the first block's projections are kept for every token.
  private static let largestTable = 1024

  package let facts: ModelFacts
  package let layout: StateLayout
  package let compute: Compute
  /// A digest of the weights by value and of the arithmetic; two models that agree in it are one model.
  package let fingerprint: String
  /// Bytes of the weights as they lie packed, with tables.
  package let weightByteCount: Int

  let blocks: Blocks
  let index: LayerIndex
  /// Per step, the regions of its mixer.
  let regions: [[StateRegion]]
  /// Per layer, what the gauge's alarm remembers of the trained length.
  let gaugeRegions: [GaugeRegions]
  /// The final normalised hidden row of the last token, 1 × D.
  let hidden: StateRegion
  /// What changes how states evolve.
  package let plan: MitigationPlan
  /// The model without mitigations, where there are any.
  private let plain: LanguageModel?

  /// Opens a model: configuration and weights through the registry, packed for `table`, the file's pages released.
  ///
  /// - Parameters:
  ///   - memoryLimit: bytes that the packed weights must not pass; held against the file before anything is allocated.
  ///   - context: how much of the past attention layers keep.
  package static func load(
    _ files: ModelFiles, table: KernelTable, compute: Compute?, memoryLimit: Int? = nil, context: ContextBound = .standard
  ) throws -> LanguageModel {
    let (type, architecture, store) = try open(files)
    let compute = compute ?? (store.entries.values.contains { $0.type.blocks != nil } ? .int8 : .fp32)
    if let memoryLimit {
      let needed = store.entries.values.reduce(0) { $0 + packedByteCount(of: $1, compute) }
      guard needed <= memoryLimit else {
        throw MeanderError(
          .limit, "the weights take \(needed) bytes, and \(memoryLimit) are allowed", at: files.name,
          remedy: "Raise the limit, or take --compute bf16, which halves fp32 weights.")
      }
    }
    let built = try WeightReader.build(from: store, table: table, compute: compute, context: context) {
      try architecture.build(from: $0)
    }
    return LanguageModel(
      type: type, architecture: architecture, blocks: built.model, reader: built.reader, store: store, files: files,
      table: table, compute: compute)
  }

  /// What a tensor takes once it is packed, about.
  private static func packedByteCount(of entry: TensorEntry, _ compute: Compute) -> Int {
    if compute == .bf16 || entry.type == .bf16 { return 2 * entry.count }
    guard let blocks = entry.type.blocks, let inner = entry.shape.last else { return 4 * entry.count }
    let element = PackedMatrix.Element.blocks(blocks)
    return PackedMatrix.byteCount(outputs: entry.count / max(1, inner), inner: inner, element: element) ?? Int.max / 64
  }

  /// The architecture and the weights that it names: of `config.json` and the files beside it, or of a GGUF file, which holds
  /// both.
  static func open(
    _ files: ModelFiles
  ) throws -> (any Architecture.Type, any Architecture, TensorStore) {
    let (json, file): (JSON, String)
    var store: TensorStore?
    let gguf = try files.gguf()
    let stored = try gguf.map { try GGUFModel($0) }
    if let gguf, let stored {
      (json, file) = (stored.configuration, gguf.path)
    } else {
      // Without one, the tensors themselves may tell what they are.
      let configurationFile = try files.file("config.json")
      store = configurationFile == nil ? try TensorStore.open(files) : nil
      let found = try configurationFile.map { try JSON.parse($0) } ?? store.flatMap { Registry.configuration(of: $0) }
      guard let found else {
        throw MeanderError(
          .notFound, "has no config.json", at: files.name,
          remedy: "Name a folder that holds config.json and the weights, or a GGUF file.")
      }
      json = found
      file = configurationFile?.path ?? files.name
    }
    let type = try Registry.architecture(for: json, file: file)
    var configuration = try Configuration(json, file: file)
    let architecture = try type.init(&configuration)
    try configuration.finish()
    if let stored { store = try stored.store(for: architecture) }
    return (type, architecture, try store ?? TensorStore.open(files))
  }

  private init(
    type: any Architecture.Type, architecture: any Architecture, blocks: Blocks, reader: WeightReader,
    store: TensorStore, files: ModelFiles, table: KernelTable, compute: Compute
  ) {
    let shape = architecture.shape
    var layout = StateLayout()
    let index = LayerIndex(blocks, layers: shape.layers)
    self.index = index
    regions = blocks.declareState(in: &layout)
    gaugeRegions = index.steps.enumerated().map { layer, steps in
      GaugeRegions(in: &layout, layer: layer, heads: steps.reduce(0) { $0 + blocks.steps[$1].mixer.gaugedHeads })
    }
    hidden = layout.append("hidden", .f32, [shape.width], role: .record)
    self.layout = layout
    plain = nil
    self.compute = compute
    let arithmetic = "\(type.name) \(architecture.arithmetic)"
    fingerprint = Fingerprint(weights: reader.fingerprint, arithmetic: arithmetic).hexadecimal
    self.blocks = Self.tabulated(blocks, shape: shape, table: table, compute: compute)
    let tables = shape.vocabulary <= Self.largestTable ? self.blocks.steps[0].mixer.tableByteCount : 0
    weightByteCount = reader.byteCount + tables + blocks.steps.reduce(0) { $0 + $1.mixer.derivedByteCount }
    let types = Dictionary(grouping: store.entries.values, by: \.type).mapValues { $0.reduce(0) { $0 + $1.count } }
    facts = ModelFacts(
      name: files.name, architecture: type.name, width: shape.width, layers: shape.layers,
      vocabulary: shape.vocabulary, parameters: reader.parameterCount,
      storedType: types.max { $0.value < $1.value }?.key.rawValue ?? "none", intent: shape.intent)
    plan = MitigationPlan(
      plain: layout, layers: index.recurrent.map { $0.map { blocks.steps[$0].mixer.gating } ?? .none }, facts: facts,
      fingerprint: fingerprint)
  }

  private init(_ plain: LanguageModel, _ plan: MitigationPlan) {
    facts = plain.facts
    layout = plan.layout
    compute = plain.compute
    fingerprint = plain.fingerprint
    weightByteCount = plain.weightByteCount
    blocks = plain.blocks
    index = plain.index
    regions = plain.regions
    gaugeRegions = plain.gaugeRegions
    hidden = plain.hidden
    self.plan = plan
    self.plain = plain
  }

  /// The same weights, whose states evolve under `mitigations` and none but these. Throws where one cannot be taken.
  package func mitigated(by mitigations: [Mitigation]) throws -> LanguageModel {
    let plain = plain ?? self
    return LanguageModel(plain, try plain.plan(plan.precision, mitigations))
  }

  /// The same weights and mitigations, with states kept in `precision`. Throws `.unsupported` where none could be kept so.
  package func keepingStates(in precision: StatePrecision) throws -> LanguageModel {
    let plain = plain ?? self
    return LanguageModel(plain, try plain.plan(precision, plan.mitigations))
  }

  private func plan(_ precision: StatePrecision, _ mitigations: [Mitigation]) throws -> MitigationPlan {
    var plan = plan
    try plan.keep(precision)
    try plan.add(mitigations)
    return plan
  }

  /// The blocks, the first with its projections of every token at hand where the vocabulary is small.
  private static func tabulated(_ blocks: Blocks, shape: LanguageShape, table: KernelTable, compute: Compute) -> Blocks {
    guard shape.vocabulary <= largestTable, blocks.firstRowsAreTokens, let first = blocks.steps.first, let norm = first.norm
    else { return blocks }
    let kernels = Kernels(table: table, team: WorkerTeam(threads: 1), compute: compute)
    let ids = (0..<shape.vocabulary).map { Int32($0) }
    let operations = Operations(kernels: kernels, arena: Arena(byteCount: 4 * 4 * (shape.vocabulary + 1) * (shape.width + 16)))
    let rows = operations.norm(operations.embed(ids[...], position: 0, blocks), norm)
    var result = blocks
    result.steps[0].mixer = first.mixer.tabulated(rows, kernels: kernels)
    return result
  }

  /// How many tokens its attention holds: the fewest of any layer; nil where there is none.
  package var contextTokens: Int? { blocks.steps.compactMap(\.mixer.contextTokens).min() }

  /// How many layers show an observer the time steps of a selective scan.
  package var scanningLayers: Int { blocks.steps.count { $0.mixer.showsSteps } }

  /// Whether any of its layers attends.
  package var attends: Bool { blocks.steps.contains { $0.mixer.attends } }

  /// The state before the first token.
  package func makeState() -> ModelState { ModelState(layout: layout) }
}

/// What is known of a model beside its weights.
package struct ModelFacts: Sendable {
  package let name: String
  package let architecture: String
  /// D
  package let width: Int
  /// L
  package let layers: Int
  /// V
  package let vocabulary: Int
  package let parameters: Int
  /// The type that most of the weights are stored in: `F32`, `BF16` …
  package let storedType: String
  package let intent: ModelIntent
}
