import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import MeanderTraining
import Testing

/// Transformers train with the trainer like every other architecture, and what was trained streams.
@Suite struct TransformerTrainingTests {
  /// A layer over bytes; `attention` stands in the configuration's `meander` object.
  private static func bench(_ type: String, _ attention: [(String, JSON)] = []) throws -> TrainerTests.Bench {
    var model: [(String, JSON)] = [
      ("model_type", .string(type)), ("vocab_size", JSON(256)), ("hidden_size", JSON(16)), ("num_hidden_layers", JSON(1)),
      ("num_attention_heads", JSON(2)), ("num_key_value_heads", JSON(1)), ("head_dim", JSON(8)), ("intermediate_size", JSON(24)),
      ("max_position_embeddings", JSON(20)), ("tie_word_embeddings", .bool(true)),
    ]
    if !attention.isEmpty { model.append(("meander", JSON([("attention", JSON(attention))]))) }
    let optimizer = JSON([("rate", JSON(0.02))])
    return try TrainerTests.Bench([("model", JSON(model)), ("steps", JSON(40)), ("optimizer", optimizer)])
  }

  private static let softplus: [(String, JSON)] = [("softplus", JSON([("offset", JSON(0)), ("power", JSON(2))]))]

  @Test(arguments: ["llama", "qwen3", "softplus", "prefix", "none", "linear", "buckets"])
  func aTrainedModelStreamsAsItTrained(kind: String) throws {
    let attention = kind == "softplus" ? Self.softplus : kind == "prefix" ? [("prefix", JSON.bool(true))]
      : ["none", "linear", "buckets"].contains(kind) ? [("positions", JSON.string(kind))] : []
    let bench = try Self.bench(kind == "qwen3" ? "qwen3" : "llama", attention)
    let losses = try bench.run()
    let (first, last) = (losses.prefix(5).reduce(0, +) / 5, losses.suffix(5).reduce(0, +) / 5)
    #expect(last < first - 0.5, "\(first) to \(last)")

    let files = ModelFiles(folder: bench.folder("run"))
    let store = try TensorStore.open(files)
    if kind == "prefix" {
      let values = try store.floats("model.layers.0.self_attn.prefix.values")
      #expect(values.count == 2 * 8 * 8 && values.contains { abs($0) > 0.1 }, "the prefix was not trained")
    }
    // 100 tokens through a window of 20, in two forms.
    let model = try LanguageModel.load(files, table: .best, compute: .fp32)
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    let ids = (0..<100).map { Int32(("Line \($0 * 7) tells of things.".utf8.dropFirst($0 % 20).first ?? 32)) }
    func logits(_ form: RecurrenceForm) throws -> [Float] {
      let state = model.makeState()
      var rows: [Float] = []
      try model.advance(
        state, by: ids[...], kernels: kernels, workspace: model.workspace(), form: form,
        readout: .each { _, logits in rows += logits.array() })
      return rows
    }
    let naive = try logits(.naive)
    expectClose(try logits(.scan), naive, "scan")
    expectClose(try logits(.chunk), naive, "chunk")
  }
}
