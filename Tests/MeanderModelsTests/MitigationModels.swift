import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport

/// A fixture as a model that says on what length it was trained, and whose heads may forget nothing.
final class TrainedFixture: Sendable {
  private let folder = TemporaryFolder()

  /// - Parameter neverForgets: whether A is all but zero in every head.
  convenience init(_ fixture: String, trainedLength: Int, neverForgets: Bool = false) throws {
    try self.init(fixture, trainedLength: trainedLength, logRates: neverForgets ? [-18] : [])
  }

  /// - Parameter logRates: ln -A of the heads, again and again; where there are none, the fixture's own.
  init(_ fixture: String, trainedLength: Int, logRates: [Float]) throws {
    var members = try JSON.parse(Fixture.bytes("\(fixture)/config.json")).object?.members.map { ($0.key, $0.value) } ?? []
    members.append(("meander", JSON([("trained_length", JSON(trainedLength))])))
    try AtomicFile.write(folder("config.json"), bytes: JSON(members).write())
    let store = try TensorStore.open(safetensors: Fixture.bytes("\(fixture)/model.safetensors"))
    var writer = SafeTensorsWriter()
    for name in store.entries.keys.sorted() {
      let shape = store.entries[name]?.shape ?? []
      var values = try store.floats(name)
      if !logRates.isEmpty, name.hasSuffix("A_log") { values = values.indices.map { logRates[$0 % logRates.count] } }
      try writer.add(name, shape, floats: values)
    }
    try writer.write(to: folder("model.safetensors"))
  }

  var files: ModelFiles { ModelFiles(folder: folder.path) }
}

extension Harness {
  /// The same model under mitigations, with a state of its own.
  init(_ files: ModelFiles, _ mitigations: [Mitigation], threads: Int = 2, maximumTokens: Int = LanguageModel.grid) throws {
    let plain = try LanguageModel.load(files, table: .best, compute: .fp32)
    self.init(
      try plain.mitigated(by: mitigations), kernels: Kernels(table: .best, team: WorkerTeam(threads: threads), compute: .fp32),
      maximumTokens: maximumTokens)
  }

  private init(_ model: LanguageModel, kernels: Kernels, maximumTokens: Int) {
    self.model = model
    self.kernels = kernels
    workspace = model.workspace(maximumTokens: maximumTokens)
    state = model.makeState()
  }

  /// A region's numbers; nothing where the state has none of that name.
  func floats(_ name: String) -> [Float] { model.layout[name].map { state.matrix($0).array() } ?? [] }
  func doubles(_ name: String) -> [Double] { model.layout[name].map { state.doubles($0).array() } ?? [] }

  /// The true recurrent state of a layer, H × P × N.
  func recurrence(_ layer: Int) -> [Float] {
    model.referenceState(state).first { $0.name == "layers.\(layer).ssm" }?.values ?? []
  }

  /// Makes a region zero.
  func clear(_ name: String) throws {
    guard let region = model.layout[name] else { return }
    try state.setBytes(of: region, [UInt8](repeating: 0, count: region.byteCount))
  }

  /// `count` random tokens.
  func someIDs(_ count: Int, seed: UInt64 = 23) -> [Int32] {
    var generator = SeededGenerator(seed: seed)
    return (0..<count).map { _ in Int32.random(in: 0..<Int32(model.facts.vocabulary), using: &generator) }
  }
}
