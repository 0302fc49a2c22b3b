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

  private static let mamba2 = [
    ("mamba2-tied", "mamba2-tied"), ("mamba2-groups", "mamba2-groups"), ("mamba2-defaults-original", "mamba2-defaults"),
  ]

  /// Names, shapes, A and the bounds of the time step come back as they went: the reference's logits, whole and token by token.
  @Test(arguments: mamba2) func fp32GivesTheReferencesLogits(fixture: String, goldens: String) throws {
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
