import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderLongConvolution
import MeanderModels
import MeanderTestSupport
import MeanderTraining
import Testing

/// The gradients of a whole model: against those of another implementation in double precision, and against themselves when the
/// way back is taken in parts, with blocks computed again, and from a state that is not zero.
@Suite struct GradientTests {
  static let lengths = [1, 3, 4, 31, 32, 33, 63, 257]

  /// The golden model of a fixture.
  static func model(_ fixture: String = "mamba2-gradients", _ table: KernelTable = .best) throws -> TrainableModel {
    LongConvolution.register()
    let files = ModelFiles(folder: Fixture.path(fixture))
    let store = try TensorStore.open(files)
    // Weights that come without a configuration tell their own.
    let configuration = try files.file("config.json").map { try JSON.parse($0) } ?? Registry.configuration(of: store)
    let model = try TrainableModel(try #require(configuration), file: "config.json", table: table)
    try model.parameters.read(store)
    return model
  }

  static func worker(_ model: TrainableModel, tape: Int = 4096, table: KernelTable = .best) throws -> TrainingWorker {
    TrainingWorker(
      model, blocks: try model.blocks(), table: table, tapeTokens: tape, trainsWeights: true, trainsState: false)
  }

  /// Every gradient that one sample leaves, by the parameter's name, and the state's.
  static func gradients(
    _ sample: Sample, of fixture: String = "mamba2-gradients", recomputes: Bool = false, tape: Int = 4096, after prefix: Sample? = nil, dropped: Dropout? = nil
  ) throws -> (loss: Double, parameters: [String: [Float]], state: [Float]) {
    let model = try model(fixture)
    let worker = try worker(model, tape: tape)
    let state = model.makeState()
    let blocks = try model.blocks()
    if let prefix { _ = worker.measure(prefix, state: state, blocks: blocks) }
    worker.begin()
    let count = Double(sample.segments.reduce(0) { $0 + $1.tokens.count })
    let orders = TrainingWorker.Orders(scale: Float(1 / count), recomputes: recomputes, dropped: dropped)
    let sum = try worker.learn(sample, state: state, blocks: blocks, orders)
    let named = model.parameters.entries.map {
      ($0.name, model.parameters.matrix($0, in: worker.gradient).array())
    }
    let states = model.layout.regions.filter { $0.type == .f32 }.flatMap {
      Matrix(worker.stateGradient, offset: $0.offset, rows: 1, columns: $0.count).array()
    }
    return (sum.loss / sum.weight, Dictionary(uniqueKeysWithValues: named), states)
  }

  static func segment(_ ids: some Collection<Int32>) -> Segment {
    let ids = Array(ids)
    return Segment(
      tokens: Array(ids.dropLast()), targets: Array(ids.dropFirst()), weights: Array(repeating: 1, count: ids.count - 1))
  }

  static func ids(_ count: Int) -> [Int32] {
    var generator = SeededGenerator(seed: UInt64(count))
    return (0..<count).map { _ in Int32(truncatingIfNeeded: generator.next() % 29) }
  }

  @Test(arguments: lengths, [false, true])
  func agreeWithTheReference(tokens: Int, recomputes: Bool) throws {
    let golden = try TensorStore.open(safetensors: .mapping(Fixture.path("mamba2-gradients/golden.safetensors")))
    let ids = try golden.integers("\(tokens).ids").map { Int32($0) }
    let (loss, gradients, _) = try Self.gradients(Sample([Self.segment(ids)]), recomputes: recomputes)
    expectClose([Float(loss)], try golden.floats("\(tokens).loss"), "loss")
    for (name, gradient) in gradients {
      let expected = try golden.floats("\(tokens).\(name)")
      // One token alone moves no gradient through what a state keeps of the past.
      if expected.allSatisfy({ abs($0) < 1e-12 }) {
        #expect(gradient.allSatisfy { abs($0) < 1e-9 }, "\(name)")
      } else {
        expectClose(gradient, expected, name)
      }
    }
  }

  @Test(arguments: [1, 3, 33, 257], [false, true])
  func ofAnLSTMAgreeWithTheReference(tokens: Int, recomputes: Bool) throws {
    let golden = try TensorStore.open(safetensors: .mapping(Fixture.path("lstm/gradients.safetensors")))
    let ids = try golden.integers("\(tokens).ids").map { Int32($0) }
    let (loss, gradients, _) = try Self.gradients(Sample([Self.segment(ids)]), of: "lstm", recomputes: recomputes)
    expectClose([Float(loss)], try golden.floats("\(tokens).loss"), "loss")
    for (name, gradient) in gradients { expectClose(gradient, try golden.floats("\(tokens).\(name)"), name) }
  }

  /// The recurrence of an LSTM is no power of a matrix: a stretch that is repeated cannot be had.
  @Test func anLSTMRefusesAPoweredStretch() throws {
    var segment = Self.segment(Self.ids(9))
    segment.repeats = 4
    let sample = Sample([segment, Self.segment(Self.ids(5))])
    let error = #expect(throws: MeanderError.self) { try Self.gradients(sample, of: "lstm") }
    #expect(error?.code == .unsupported && error?.description.contains("LSTM") == true)
  }

  /// One tape over all, a tape over two segments, parts gone back over one by one, and blocks computed again.
  @Test(
    arguments: [(1, 4096, false), (7, 4096, false), (7, 16, false), (7, 16, true), (1, 24, true)],
    ["mamba2-gradients", "lstm", "llama-gqa", "mistral-window"] + FamilyGradientTests.fixtures)
  func doNotDependOnTheWayBack(way: (cut: Int, tape: Int, recomputes: Bool), fixture: String) throws {
    let (cut, tape, recomputes) = way
    let ids = Self.ids(120)
    let prefix = Sample([Self.segment(Self.ids(40))])
    let whole = try Self.gradients(Sample([Self.segment(ids)]), of: fixture, after: prefix)
    let bounds = cut == 1 ? [0, 20, 40, 60, 80, 100, 119] : [0, 3, 4, 5, 21, 37, 53, 69, 85, 101, 117, 119]
    let segments = zip(bounds, bounds.dropFirst()).map { Self.segment(ids[$0...$1]) }
    let parts = try Self.gradients(Sample(segments), of: fixture, recomputes: recomputes, tape: tape, after: prefix)
    #expect(abs(whole.loss - parts.loss) < 1e-5)
    for (name, gradient) in whole.parameters { expectClose(parts.parameters[name] ?? [], gradient, name) }
    expectClose(parts.state, whole.state, "the state before the sample")
  }

  @Test func aMaskedTargetTeachesNothing() throws {
    let ids = Self.ids(60)
    var masked = Self.segment(ids)
    for place in 30..<59 { masked.weights[place] = 0 }
    let short = try Self.gradients(Sample([Self.segment(ids[0...30])]))
    let long = try Self.gradients(Sample([masked]))
    for (name, gradient) in short.parameters {
      // Means over 30 and over 59 tokens.
      expectClose((long.parameters[name] ?? []).map { $0 * 59 / 30 }, gradient, name)
    }
  }

  @Test func droppedNumbersAreTheSameWhenABlockIsComputedAgain() throws {
    let sample = Sample([Self.segment(Self.ids(70))])
    let dropped = Dropout(rate: 0.3, seed: 5)
    let kept = try Self.gradients(sample, dropped: dropped)
    let again = try Self.gradients(sample, recomputes: true, dropped: dropped)
    for (name, gradient) in kept.parameters { expectClose(again.parameters[name] ?? [], gradient, name) }
    let plain = try Self.gradients(sample)
    #expect(kept.loss != plain.loss)
  }
}
