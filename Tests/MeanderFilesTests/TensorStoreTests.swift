import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct TensorStoreTests {
  @Test func opensOneFile() throws {
    let store = try TensorStore.open(Fixture.model("mamba2-tied"))
    #expect(store.metadata == ["format": "pt"])
    #expect(store["backbone.embeddings.weight"]?.shape == [256, 64])
    #expect(store["backbone.embeddings.weight"]?.type == .f32)
    #expect(try store.floats("backbone.layers.0.mixer.D").count == 8)
  }

  @Test func readsIdsAndRangesOfGoldens() throws {
    let golden = try Golden("mamba2-tied")
    #expect(try golden.shape("input_ids") == [1, 61])
    #expect(try golden.integers("input_ids").count == 61)
    #expect(try golden.integer("length") == 61)
    let logits = try golden.floats("logits")
    var part: [Float] = [1, 2, 3]
    try golden.store.floats("logits", 256..<512, into: &part)
    #expect(part == Array(logits[256..<512]))
    #expect(throws: MeanderError.self) { try golden.store.floats("logits", 0..<(61 * 256 + 1), into: &part) }
    #expect(throws: MeanderError.self) { try golden.floats("input_ids") }
    #expect(throws: MeanderError.self) { try golden.integers("logits") }
  }

  @Test func opensShards() throws {
    let store = try TensorStore.open(Fixture.model("llama-rope-scaled-f16-sharded"))
    let norm = try store.floats("model.norm.weight")
    #expect(store["model.norm.weight"]?.type == .f16)
    #expect(norm.count == 64 && norm.allSatisfy { abs($0) < 4 } && norm.contains { $0 != 0 })
  }

  @Test func oneErrorListsEveryTensorThatIsWrong() throws {
    let store = try TensorStore.open(Fixture.model("mamba2-tied"))
    var declared = store.entries.values.map { TensorDeclaration($0.name, $0.shape) }.sorted {
      $0.name < $1.name
    }
    #expect(try store.check(declared).count == declared.count)
    declared[0] = TensorDeclaration("renamed", declared[0].shape, alternatives: [declared[0].name])
    declared.append(TensorDeclaration("lm_head.weight", [256, 64], optional: true))
    #expect(try store.check(declared)["renamed"] == "backbone.embeddings.weight")
    let dropped = declared.remove(at: 5).name
    declared[3] = TensorDeclaration(declared[3].name, [7])
    declared.append(TensorDeclaration("absent", [1, 2]))
    let error = #expect(throws: MeanderError.self) { try store.check(declared) }
    let text = try #require(error?.description)
    #expect(text.contains("1 missing: absent [1, 2]"))
    #expect(text.contains("1 unexpected: \(dropped)"))
    #expect(text.contains("1 of the wrong shape: \(declared[3].name) is "))
  }
}
