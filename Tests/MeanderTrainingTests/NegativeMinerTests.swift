import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import MeanderText
import MeanderTraining
import Testing

/// Mining with a model whose one head of long memory was made to write a Q down, and nothing else.
@Suite struct NegativeMinerTests {
  /// Two heads: the first forgets nothing and takes large steps at Q alone, the second forgets fast and likes X.
  static func model() throws -> TrainableModel {
    let configuration = JSON([
      ("model_type", .string("mamba2")), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("num_hidden_layers", JSON(1)),
      ("state_size", JSON(8)), ("num_heads", JSON(2)), ("head_dim", JSON(16)), ("n_groups", JSON(1)),
      ("tie_word_embeddings", .bool(true)),
    ])
    let model = try TrainableModel(configuration, file: "config.json", table: .best)
    try model.initialize(Initialization())
    let embeddings = model.parameters.matrix("backbone.embeddings.weight")
    embeddings.fill(0)
    for byte in 0..<256 {
      embeddings[byte, byte == Int(UInt8(ascii: "Q")) ? 0 : byte == Int(UInt8(ascii: "X")) ? 1 : 2] = 1
    }
    let projection = model.parameters.matrix("backbone.layers.0.mixer.in_proj.weight")
    let steps = projection.rows(projection.rows - 2..<projection.rows)
    steps.fill(0)
    for column in 0..<3 {
      steps[0, column] = column == 0 ? 1 : -1
      steps[1, column] = column == 1 ? 1 : -1
    }
    model.parameters.matrix("backbone.layers.0.mixer.dt_bias").fill(0)
    model.parameters.matrix("backbone.layers.0.mixer.A_log").copy(from: Matrix([-16, 2], rows: 1, columns: 2))
    return model
  }

  static let marks = [5_000, 20_011, 31_000]

  static func text() -> [UInt8] {
    var text = Array((0..<1300).map { "Line \($0) says nothing new.\n" }.joined().utf8)
    for mark in marks { text[mark] = UInt8(ascii: "Q") }
    for mark in stride(from: 300, to: text.count, by: 700) { text[mark] = UInt8(ascii: "X") }
    return text
  }

  @Test func findsWhatTheLongMemoryFallsFor() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("text"), bytes: Self.text())
    let model = try Self.model()
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    let miner = NegativeMiner(model, blocks: try model.blocks(), kernels: kernels, tokenizer: .bytes)
    var settings = NegativeMiner.Settings()
    (settings.window, settings.count) = (64, 5)
    let finds = try miner.find(settings, in: [folder("text")], [(0, 0..<Self.text().count)])
    #expect(finds.count == 5)
    #expect(finds.prefix(3).map(\.offset).sorted() == Self.marks.map { mark in mark / 8192 * 8192 + mark % 8192 / 64 * 64 })
    #expect(finds[2].score > 20 && finds[3].score < 2, "\(finds.map(\.score))")
    #expect(try miner.find(settings, in: [folder("text")], [(0, 0..<Self.text().count)]) == finds)
  }

  @Test func aModelWithoutTimeStepsIsRefused() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("text"), bytes: (0..<2000).map { UInt8($0 % 40) })
    let files = ModelFiles(folder: Fixture.path("lstm"))
    let miner = try NegativeMiner(files, tokenizer: .bytes, table: .best)
    let error = #expect(throws: MeanderError.self) { try miner.find(.init(), in: [folder("text")], [(0, 0..<2000)]) }
    #expect(error?.code == .unsupported)
  }

  /// Before the first mining any window is a negative; after it, the windows that were found are, and a position brings them back.
  @Test func aTaskMinesWhileItTrains() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("text"), bytes: Self.text())
    func source() throws -> TaskSource {
      let json = """
        {"task": "passkey", "options": {"absent": 1, "opening": 0}, "length": [400, 400],
         "negatives": {"paths": ["text"], "share": 1, "every": 2, "window": 64, "count": 3, "bytes": 65536}}
        """
      var options = try Configuration(JSON.parse(FileBytes(Array(json.utf8), path: "recipe")), file: "recipe")
      let source = try TaskSource(
        &options, SourceContext(tokenizer: .bytes, lanes: 1, seed: 1, folder: folder.path))
      try options.finish()
      return source
    }
    func marks(_ source: TaskSource) throws -> Int {
      try source.next(lane: 0, length: 512).segments.flatMap(\.tokens).count { $0 == Int32(UInt8(ascii: "Q")) }
    }
    let model = try Self.model()
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    let miner = NegativeMiner(model, blocks: try model.blocks(), kernels: kernels, tokenizer: .bytes)
    let first = try source()
    try first.prepare(step: 0, miner)
    try first.prepare(step: 1, miner)
    #expect(try marks(first) <= 1)
    try first.prepare(step: 2, miner)
    let position = first.position
    #expect(try marks(first) >= 4)
    let second = try source()
    try second.restore(position)
    #expect(try second.next(lane: 0, length: 512) == { try first.restore(position); return try first.next(lane: 0, length: 512) }())
    #expect(throws: MeanderError.self) {
      try second.restore(SourcePosition(text: position.text.replacing("\"mined\"", with: "\"mind\"")))
    }
  }
}
