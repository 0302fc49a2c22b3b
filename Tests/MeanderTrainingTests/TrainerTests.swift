import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderLongConvolution
import MeanderTestSupport
import MeanderTraining
import Testing

/// Whole runs on a model of a few hundred numbers: stopped and resumed to the bit, in parts or at once, and refused where a recipe
/// or its data is wrong.
@Suite struct TrainerTests {
  /// A folder with a text and a recipe over it.
  struct Bench {
    let folder: TemporaryFolder
    let recipe: String

    init(_ changes: [(String, JSON)] = [], source: JSON? = nil, text: String? = nil) throws {
      LongConvolution.register()
      folder = TemporaryFolder()
      let text = text ?? (0..<400).map { "Line \($0) tells of \($0 * 7919 % 101) things.\n" }.joined()
      try AtomicFile.write(folder("text.txt"), bytes: Array(text.utf8))
      let model = JSON([
        ("model_type", .string("mamba2")), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("num_hidden_layers", JSON(2)),
        ("state_size", JSON(8)), ("num_heads", JSON(2)), ("head_dim", JSON(16)), ("n_groups", JSON(1)),
        ("tie_word_embeddings", .bool(true)),
      ])
      let text1 = JSON([("source", .string("text")), ("paths", JSON(["text.txt"])), ("carry", .string("stream"))])
      var members: [(String, JSON)] = [
        ("model", model), ("data", .array([source ?? text1])), ("batch", JSON(3)), ("length", JSON(32)), ("steps", JSON(12)),
        ("output", .string("run")), ("schedule", JSON([("kind", .string("constant"))])),
      ]
      for (key, value) in changes {
        members.removeAll { $0.0 == key }
        members.append((key, value))
      }
      recipe = folder("recipe.json")
      try AtomicFile.write(recipe, bytes: JSON(members).write())
    }

    func run(resumes: Bool = false, until step: Int = .max, threads: Int = 2) throws -> [Double] {
      let run = try TrainingRun(try Recipe(path: recipe), threads: threads, resumes: resumes)
      var losses: [Double] = []
      _ = try run.run(shouldStop: { run.trainer.step >= step }, visit: { losses.append($0.loss) })
      return losses
    }

    func weights() throws -> [UInt8] { try FileBytes.mapping(folder("run/model.safetensors")).copy() }

    func losses() throws -> [Double] {
      try FileBytes.mapping(folder("run/log.jsonl")).copy().split(separator: 0x0a).map {
        try #require(try JSON.parse(FileBytes(Array($0), path: "log"))["loss"]?.double)
      }
    }
  }

  static let sources: [JSON] = [
    JSON([("source", .string("text")), ("paths", JSON(["text.txt"])), ("carry", .string("stream"))]),
    JSON([("source", .string("text")), ("paths", JSON(["text.txt"])), ("carry", .string("none"))]),
    JSON([("source", .string("strided")), ("path", .string("text.txt"))]),
    JSON([
      ("source", .string("task")), ("task", .string("passkey")), ("length", .array([JSON(8), JSON(40)])), ("power", JSON(64)),
    ]),
    JSON([
      ("source", .string("task")), ("task", .string("passkey")), ("length", .array([JSON(64), JSON(256)])),
      ("negatives", JSON([("paths", JSON(["text.txt"])), ("every", JSON(3)), ("window", JSON(32)), ("count", JSON(20))])),
    ]),
  ]

  @Test(arguments: sources.indices, [1, 7, 11])
  func aResumedRunIsTheRunThatNeverStopped(source: Int, stop: Int) throws {
    let average = JSON([("average", JSON(0.9))])
    let changes = [("optimizer", average), ("dropout", JSON(0.1)), ("accumulate", JSON(2))]
    let whole = try Bench(changes, source: Self.sources[source])
    _ = try whole.run()
    let parts = try Bench(changes, source: Self.sources[source])
    _ = try parts.run(until: stop)
    _ = try parts.run(resumes: true)
    #expect(try parts.weights() == whole.weights())
    #expect(try parts.losses() == whole.losses())
  }

  /// Computing blocks again on the way back changes nothing: neither what is learned nor the state that is carried on.
  @Test func recomputationChangesNothing() throws {
    let kept = try Bench().run()
    let again = try Bench([("recompute", .bool(true))]).run()
    expectClose(again, kept, "losses", within: 1e-6)
  }

  @Test(arguments: ["zero", "pass", "noise", "trained"])
  func everyBeginningOfAStateResumes(start: String) throws {
    let changes = [("state", JSON([("start", .string(start)), ("share", JSON(0.7))]))]
    let whole = try Bench(changes, source: Self.sources[1])
    _ = try whole.run()
    let parts = try Bench(changes, source: Self.sources[1])
    _ = try parts.run(until: 5)
    _ = try parts.run(resumes: true)
    #expect(try parts.weights() == whole.weights())
  }

  @Test func aRunLearns() throws {
    let bench = try Bench([("steps", JSON(60)), ("optimizer", JSON([("rate", JSON(0.01))]))])
    let losses = try bench.run()
    #expect(losses[0] > 5 && losses.suffix(5).allSatisfy { $0 < 3.5 }, "\(losses)")
  }

  @Test func anLSTMLearnsAndResumes() throws {
    let model = JSON([
      ("model_type", .string("lstm")), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("intermediate_size", JSON(24)),
      ("num_hidden_layers", JSON(2)), ("tie_word_embeddings", .bool(true)),
    ])
    let changes = [("model", model), ("steps", JSON(60)), ("optimizer", JSON([("rate", JSON(0.01))]))]
    let whole = try Bench(changes)
    let losses = try whole.run()
    #expect(losses[0] > 5 && losses.suffix(5).allSatisfy { $0 < 3.5 }, "\(losses)")
    let parts = try Bench(changes)
    _ = try parts.run(until: 23)
    _ = try parts.run(resumes: true)
    #expect(try parts.weights() == whole.weights())
  }

  /// A transformer that long convolutions are put between says at first what it said without them, and learns to use them.
  @Test func aModelGrowsOutOfAnother() throws {
    func model(_ type: String, _ layers: [String]) -> JSON {
      JSON([
        ("model_type", .string(type)), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("num_hidden_layers", JSON(layers.count)),
        ("num_attention_heads", JSON(2)), ("num_key_value_heads", JSON(2)), ("head_dim", JSON(8)), ("intermediate_size", JSON(24)),
        ("max_position_embeddings", JSON(64)), ("tie_word_embeddings", .bool(true)),
      ] + (type == "hyena" ? [("filter_length", JSON(32)), ("layer_types", JSON(layers))] : []))
    }
    let small = model("llama", ["full_attention", "full_attention"])
    let start = try Bench([("model", small)])
    _ = try start.run()
    func grown(_ model: JSON, _ layers: [JSON], rate: Double, steps: Int) throws -> Bench {
      try Bench([
        ("model", model), ("start", .string(start.folder("run"))), ("start_layers", .array(layers)), ("steps", JSON(steps)),
        ("optimizer", JSON([("rate", JSON(rate))])),
      ])
    }
    let large = model("hyena", ["full_attention", "hyena", "full_attention", "hyena"])
    let same = try grown(small, [JSON(0), JSON(1)], rate: 0, steps: 4).run()
    let before = try grown(large, [JSON(0), .null, JSON(1), .null], rate: 0, steps: 4).run()
    expectClose(before, same, "losses", within: 1e-5)
    let learning = try grown(large, [JSON(0), .null, JSON(1), .null], rate: 0.01, steps: 40)
    #expect(try learning.run().suffix(5).reduce(0, +) < 0.8 * before.prefix(4).reduce(0, +) * 5 / 4)
    // What stays out: a layer that nobody names, and one that the start does not have.
    #expect(throws: MeanderError.self) { try grown(large, [JSON(0), .null, JSON(1)], rate: 0, steps: 1).run() }
    #expect(throws: MeanderError.self) { try grown(large, [JSON(0), .null, JSON(2), .null], rate: 0, steps: 1).run() }
    #expect(throws: MeanderError.self) { try grown(large, [JSON(0), JSON(-1), JSON(1), .null], rate: 0, steps: 1).run() }
  }

  /// Tuning a state leaves the weights as they were, and the loss falls all the same.
  @Test func aStateLearnsAlone() throws {
    let first = try Bench([("steps", JSON(1)), ("optimizer", JSON([("rate", JSON(0.0))]))])
    _ = try first.run()
    let tuned = try Bench(
      [
        ("steps", JSON(40)), ("train_weights", .bool(false)), ("state", JSON([("start", .string("trained"))])),
        ("optimizer", JSON([("rate", JSON(0.1))])),
      ], source: Self.sources[1])
    let losses = try tuned.run()
    #expect(try tuned.weights() == first.weights())
    #expect(losses.suffix(5).reduce(0, +) < losses.prefix(5).reduce(0, +))
  }

  @Test func threadsAgreeToRounding() throws {
    let one = try Bench().run(threads: 1)
    let three = try Bench().run(threads: 3)
    expectClose(three, one, "losses", within: 1e-5)
  }

  /// The newest checkpoint is torn: the one before it takes its place.
  @Test func aDamagedCheckpointIsPassedOver() throws {
    let whole = try Bench([("checkpoint", JSON([("steps", JSON(2))]))])
    _ = try whole.run()
    let bench = try Bench([("checkpoint", JSON([("steps", JSON(2))]))])
    _ = try bench.run(until: 6)
    let names = try Folder.names(in: bench.folder("run")).filter { $0.hasPrefix("checkpoint") }
    #expect(names == ["checkpoint-000000004.safetensors", "checkpoint-000000006.safetensors"])
    let newest = bench.folder("run/\(names[1])")
    let bytes = try FileBytes.mapping(newest).copy()
    try AtomicFile.write(newest, bytes: Array(bytes.prefix(bytes.count / 2)))
    _ = try bench.run(resumes: true)
    #expect(try bench.weights() == whole.weights())
  }

  @Test func aFreshRunDoesNotOverwriteAnother() throws {
    let bench = try Bench()
    _ = try bench.run(until: 2)
    let error = #expect(throws: MeanderError.self) { try bench.run() }
    #expect(error?.description.contains("--resume") == true)
  }

  @Test func anotherRecipesCheckpointIsRefused() throws {
    let bench = try Bench()
    _ = try bench.run(until: 2)
    let other = try Bench([("batch", JSON(4))])
    try AtomicFile.write(bench.recipe, bytes: try FileBytes.mapping(other.recipe).copy())
    let error = #expect(throws: MeanderError.self) { try bench.run(resumes: true) }
    #expect(error?.description.contains("another recipe") == true)
  }

  @Test(arguments: [
    ([("stepz", JSON(1))], "stepz"), ([("batch", JSON(0))], "batch"), ([("data", .array([]))], "data"),
    ([("optimizer", JSON([("beta3", JSON(0.5))]))], "beta3"), ([("data", .array([JSON([("source", .string("gold"))])]))], "gold"),
    ([("data", .array([JSON([("source", .string("text")), ("paths", JSON(["none"]))])]))], "none"),
    ([("schedule", JSON([("kind", .string("sine"))]))], "sine"),
    ([("evaluation", JSON([("every", JSON(5)), ("data", .array([Self.sources[3]]))]))], "power"),
  ])
  func aWrongRecipeIsRefusedByName(changes: [(String, JSON)], word: String) throws {
    let bench = try Bench(changes)
    let error = #expect(throws: MeanderError.self) { try bench.run() }
    #expect(error?.description.contains(word) == true, "\(String(describing: error))")
  }

  @Test func emptyTextIsRefused() throws {
    #expect(throws: MeanderError.self) { try Bench(text: "").run() }
  }

  @Test func bytesThatAreNotUTF8AreReadAsTheyAre() throws {
    let bench = try Bench()
    try AtomicFile.write(bench.folder("text.txt"), bytes: (0..<4000).map { UInt8($0 * 7 % 256) })
    #expect(try bench.run().allSatisfy(\.isFinite))
  }

  /// A rate beyond all measure makes the loss infinite or not a number; the run stops there and keeps its last checkpoint.
  @Test func aLossThatIsNoNumberStopsTheRun() throws {
    let bench = try Bench([
      ("steps", JSON(200)), ("optimizer", JSON([("rate", JSON(10.0)), ("clip", JSON(0)), ("decay", JSON(0))])),
      ("checkpoint", JSON([("steps", JSON(1))])),
    ])
    let error = #expect(throws: MeanderError.self) { try bench.run() }
    #expect(error?.code == .nonFinite)
    let description = error?.description ?? ""
    #expect(["step ", "tensor ", "data[0], row"].allSatisfy(description.contains), "\(description)")
    #expect(try Folder.names(in: bench.folder("run")).contains { $0.hasPrefix("checkpoint") })
  }
}
