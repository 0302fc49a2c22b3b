import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

@Suite struct GGUFModelTests {
  /// The fixture as a GGUF file of `kind`, in a folder of its own.
  private func written(_ fixture: String, as kind: GGUFExport.Kind) throws -> (files: ModelFiles, folder: TemporaryFolder) {
    let folder = TemporaryFolder()
    _ = try GGUFExport(Fixture.model(fixture), as: kind).write(to: folder("model.gguf"))
    return (try ModelFiles.resolve(folder("model.gguf"), environment: [:]), folder)
  }

  private func goldens(_ fixture: String) throws -> (ids: [Int32], logits: [Float]) {
    let golden = try Golden(fixture)
    return (try golden.integers("input_ids").map { Int32($0) }, try golden.floats("logits"))
  }

  private static let twins = [
    "mamba2-defaults-original": "mamba2-defaults", "mamba1-original": "mamba1", "rwkv7-hf": "rwkv7-bf16-head64",
  ]

  /// Every architecture that GGUF has a name for, in each layout of its checkpoints.
  static let fixtures = [
    "mamba2-tied", "mamba2-groups", "mamba2-defaults-original", "mamba1", "mamba1-original", "falcon-mamba", "rwkv6", "rwkv7",
    "rwkv7-bf16-head64", "rwkv7-hf", "jamba", "falcon-h1", "granite-moe-hybrid", "granite-hybrid-dense", "lfm2", "nemotron-h",
    "nemotron-h-moe", "qwen3-next", "llama-gqa", "qwen2-bias", "qwen3-qknorm", "llama-rope-scaled-f16-sharded",
  ]

  /// Names, shapes and what was done to numbers come back as they went: the reference's logits, whole and token by token.
  @Test(arguments: fixtures) func fp32GivesTheReferencesLogits(fixture: String) throws {
    let goldens = Self.twins[fixture] ?? fixture
    let (files, folder) = try written(fixture, as: .f32)
    let (ids, logits) = try self.goldens(goldens)
    for cut in [[], [Int](repeating: 1, count: ids.count)] {
      let harness = try Harness(files)
      let width = logits.count / ids.count
      let vocabulary = harness.model.facts.vocabulary
      let ours = try harness.logits(ids, cut: cut)
      let trimmed = stride(from: 0, to: ours.count, by: vocabulary).flatMap { ours[$0..<$0 + width] }
      expectClose(trimmed, logits, fixture)
    }
    #expect(folder.names == ["model.gguf"])
  }

  /// The error of each type's rounding, not that of a wrong scale: about 2^-8 for eight bits, 2^-4 for four.
  @Test(arguments: [(GGUFExport.Kind.bf16, 0.02), (.q8_0, 0.03), (.q4_0, 0.6), (.q4_k, 0.6)])
  func quantizedModelsStayClose(kind: GGUFExport.Kind, bound: Double) throws {
    let (ids, logits) = try goldens("mamba2-defaults")
    let (files, folder) = try written("mamba2-defaults", as: kind)
    defer { withExtendedLifetime(folder) {} }
    var compared: [[Float]] = []
    for compute in [Compute.fp32, .int8] {
      let harness = try Harness(files, compute: compute)
      let ours = try harness.logits(ids)
      expectClose(ours, logits, "\(kind) \(compute)", within: bound)
      compared.append(ours)
    }
    if kind != .bf16 { #expect(compared[0] != compared[1]) }
    let harness = try Harness(files, compute: .int8)
    #expect(try harness.logits(ids, cut: [3, 1, 4, 1, 5, 9, 2, 6]) == compared[1])
    let single = try Harness(files, compute: .int8, table: .named("scalar"), threads: 1)
    #expect(try single.logits(ids) == compared[1])
  }

  /// Rows of one tensor that stand in several, and several that stand in one, from quantised blocks.
  @Test(arguments: ["granite-moe-hybrid", "qwen2-bias", "falcon-h1"])
  func rowsOfBlocksStandWhereTheyBelong(fixture: String) throws {
    let (ids, logits) = try goldens(fixture)
    let (files, folder) = try written(fixture, as: .q8_0)
    defer { withExtendedLifetime(folder) {} }
    let types = try #require(try files.gguf()).store().entries.values.map(\.type)
    #expect(types.contains(.q8_0))
    for compute in [Compute.fp32, .int8] {
      expectClose(try Harness(files, compute: compute).logits(ids), logits, "\(fixture) \(compute)", within: 0.05)
    }
  }

  /// What was run in llama.cpp to the same logits is what is written still: names, shapes and numbers
  /// (`Tests/Generators/gguf_in_llama_cpp.py` runs them there).
  @Test(arguments: GGUFDigests.all) func theLayoutIsTheOneThatLlamaCppRan(fixture: String, digest: String) throws {
    let (files, folder) = try written(fixture, as: .f32)
    defer { withExtendedLifetime(folder) {} }
    let store = try #require(try files.gguf()).store()
    var found = Fingerprint()
    for name in store.entries.keys.sorted() {
      found.add(Array("\(name) \(store[name]?.shape ?? [])".utf8).map { Float($0) })
      found.add(try store.floats(name))
    }
    #expect(found.hexadecimal == digest, "\(fixture)")
  }

  /// Output weights that are kept halved, once more after every second layer, as files for half precision have them.
  @Test func halvedOutputsAreDoubledAgain() throws {
    let (files, folder) = try written("rwkv6", as: .f32)
    let file = try #require(try files.gguf())
    let store = try file.store()
    let entries = store.entries.values.sorted { $0.name < $1.name }
    let metadata = file.metadata.copied.filter { $0.key != "rwkv6.rescale_every_n_layers" }
    let writer = try GGUFWriter(
      folder("halved.gguf"), metadata: metadata + [("rwkv6.rescale_every_n_layers", .count(1))], tensors: entries)
    for entry in entries {
      let isOutput = ["time_mix_output.weight", "channel_mix_value.weight"].contains { entry.name.hasSuffix($0) }
      let layer = isOutput ? Int(entry.name.split(separator: ".")[1]) ?? 0 : 0
      try writer.append(store.floats(entry.name).map { $0 / Float(1 << layer) }, as: .f32)
    }
    try writer.commit()
    let halved = try Harness(ModelFiles.resolve(folder("halved.gguf"), environment: [:]))
    let (ids, logits) = try goldens("rwkv6")
    expectClose(try halved.logits(ids), logits, "halved")
  }

  /// Each rotary pair's frequency is divided by one number, and none is stretched in another way as well.
  @Test(arguments: [(12, "linear", "rope.scaling.type"), (11, nil, "11 numbers for 12")])
  func divisorsThatCannotBeAreRefused(count: Int, scaling: String?, reason: String) throws {
    let (files, folder) = try written("llama-rope-scaled-f16-sharded", as: .f32)
    let file = try #require(try files.gguf())
    let store = try file.store()
    let entries = try store.entries.values.sorted { $0.name < $1.name }.map { entry in
      entry.name == "rope_freqs.weight" ? try #require(TensorEntry(name: entry.name, type: .f32, shape: [count])) : entry
    }
    let stretched: [(key: String, value: GGUFWriter.Value)] =
      scaling.map { [("llama.rope.scaling.type", .text($0)), ("llama.rope.scaling.factor", .number(2))] } ?? []
    let writer = try GGUFWriter(folder("other.gguf"), metadata: file.metadata.copied + stretched, tensors: entries)
    for entry in entries { try writer.append(Array(store.floats(entry.name).prefix(entry.count)), as: .f32) }
    try writer.commit()
    let error = #expect(throws: MeanderError.self) {
      try Harness(ModelFiles.resolve(folder("other.gguf"), environment: [:]))
    }
    #expect(error?.description.contains(reason) == true, "\(error?.description ?? "")")
  }

  /// Whatever byte of the header is another one, the file is read or refused.
  @Test(arguments: ["jamba", "qwen3-next", "granite-moe-hybrid", "nemotron-h-moe", "rwkv7-bf16-head64", "falcon-h1", "lfm2"])
  func damagedHeadersAreReadOrRefused(fixture: String) throws {
    let (_, folder) = try written(fixture, as: .bf16)
    let bytes = try FileBytes.mapping(folder("model.gguf")).copy()
    var generator = SeededGenerator(seed: 11)
    var refused = 0
    for round in 0..<60 {
      var damaged = bytes
      let place = Int.random(in: 24..<1400, using: &generator)
      damaged[place] = round % 3 == 0 ? 0xff : UInt8.random(in: 0...255, using: &generator)
      try AtomicFile.write(folder("damaged.gguf"), bytes: damaged)
      do {
        _ = try LanguageModel.load(ModelFiles.resolve(folder("damaged.gguf"), environment: [:]), table: .best, compute: .fp32)
      } catch is MeanderError { refused += 1 }
    }
    #expect(refused > 5)
  }

  @Test func whatFilesCannotTellIsRefused() throws {
    for fixture in ["mistral-window", "zamba2"] {
      let error = #expect(throws: MeanderError.self) { try GGUFExport(Fixture.model(fixture), as: .f32) }
      #expect(error?.code == .unsupported, "\(fixture)")
    }
  }

  /// A quantised model takes about what its file does, and is known as what it is.
  @Test func factsAreThoseOfTheFile() throws {
    let (files, folder) = try written("mamba2-defaults", as: .q8_0)
    defer { withExtendedLifetime(folder) {} }
    let model = try LanguageModel.load(files, table: .best, compute: nil)
    let full = try LanguageModel.load(Fixture.model("mamba2-defaults"), table: .best, compute: nil)
    #expect(model.compute == .int8)
    #expect(full.compute == .fp32)
    #expect(model.facts.storedType == "Q8_0")
    #expect(model.facts.parameters == full.facts.parameters)
    #expect(model.weightByteCount < full.weightByteCount)
    #expect(throws: MeanderError.self) { try LanguageModel.load(files, table: .best, compute: nil, memoryLimit: 1000) }
  }

  /// A GGUF file can be given another type, and keeps what it says.
  @Test func quantizedAgain() throws {
    let (files, folder) = try written("mamba2-tied", as: .f32)
    _ = try GGUFExport(files, as: .q8_0).write(to: folder("again.gguf"))
    let direct = try written("mamba2-tied", as: .q8_0)
    let ids: [Int32] = [1, 2, 3, 4, 5]
    let again = try ModelFiles.resolve(folder("again.gguf"), environment: [:])
    #expect(try Harness(again, compute: .int8).logits(ids) == Harness(direct.files, compute: .int8).logits(ids))
  }

  @Test func strangersAreRefused() throws {
    let folder = TemporaryFolder()
    func refusal(_ metadata: [(key: String, value: GGUFWriter.Value)]) throws -> MeanderError? {
      let writer = try GGUFWriter(
        folder("model.gguf"), metadata: metadata,
        tensors: [#require(TensorEntry(name: "token_embd.weight", type: .f32, shape: [4, 8]))])
      try writer.append([Float](repeating: 0, count: 32), as: .f32)
      try writer.commit()
      do {
        _ = try LanguageModel.load(ModelFiles(folder: folder.path), table: .best, compute: nil)
        return nil
      } catch { return error as? MeanderError }
    }
    let sizes: [(key: String, value: GGUFWriter.Value)] = [
      ("general.architecture", .text("mamba2")), ("mamba2.embedding_length", .count(8)), ("mamba2.block_count", .count(1)),
      ("mamba2.ssm.inner_size", .count(16)), ("mamba2.ssm.time_step_rank", .count(2)), ("mamba2.ssm.state_size", .count(4)),
      ("mamba2.ssm.conv_kernel", .count(4)),
    ]
    #expect(try refusal([])?.what.contains("general.architecture") == true)
    #expect(try refusal([("general.architecture", .text("bloom"))])?.what.contains("bloom") == true)
    #expect(try refusal(Array(sizes.dropLast()))?.what.contains("ssm.conv_kernel") == true)
    #expect(try refusal(sizes + [("mamba2.surprise", .count(1))])?.what.contains("mamba2.surprise") == true)
    let missing = try refusal(sizes)
    #expect(missing?.what.contains("missing") == true && missing?.what.contains("in_proj.weight") == true)
    let lone = try refusal([("general.architecture", .text("llama")), ("llama.embedding_length", .count(8))])
    #expect(lone?.what.contains("llama.attention.head_count") == true)
  }
}
