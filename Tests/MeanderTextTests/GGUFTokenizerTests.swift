import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import Testing

/// A file of nothing but metadata.
private struct Metadata {
  private var entries: [[UInt8]] = []

  private func text(_ bytes: [UInt8]) -> [UInt8] { number(UInt64(bytes.count)) + bytes }
  private func number<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
    (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Number(8 * $0)) }
  }
  private mutating func add(_ key: String, _ kind: UInt32, _ value: [UInt8]) {
    entries.append(text(Array("tokenizer.ggml.\(key)".utf8)) + number(kind) + value)
  }

  mutating func set(_ key: String, _ value: String) { add(key, 8, text(Array(value.utf8))) }
  mutating func set(_ key: String, _ value: Bool) { add(key, 7, [value ? 1 : 0]) }
  mutating func set(_ key: String, _ value: UInt32) { add(key, 4, number(value)) }
  mutating func set(_ key: String, _ values: [String]) {
    add(key, 9, number(UInt32(8)) + number(UInt64(values.count)) + values.flatMap { text(Array($0.utf8)) })
  }
  mutating func set(_ key: String, _ values: [Int32]) {
    add(key, 9, number(UInt32(5)) + number(UInt64(values.count)) + values.flatMap { number($0) })
  }
  mutating func set(_ key: String, _ values: [Float]) {
    add(key, 9, number(UInt32(6)) + number(UInt64(values.count)) + values.flatMap { number($0.bitPattern) })
  }

  func tokenizer() throws -> Tokenizer {
    let folder = TemporaryFolder()
    let bytes = Array("GGUF".utf8) + number(UInt32(3)) + number(UInt64(0)) + number(UInt64(entries.count)) + entries.joined()
    try AtomicFile.write(folder("model.gguf"), bytes: bytes)
    return try Tokenizer.load(ModelFiles(folder: folder.path))
  }
}

@Suite struct GGUFTokenizerTests {
  /// The published vocabulary against the ids that its own library and llama.cpp agree on.
  @Test(.enabled(if: FetchedModel.smolLM2 != nil, Comment(rawValue: FetchedModel.absence)))
  func smolLM2sIDsAreTheReferences() throws {
    let path = try #require(FetchedModel.smolLM2)
    let tokenizer = try Tokenizer.load(ModelFiles.resolve(path, environment: [:]))
    let golden = try JSON.parse(Fixture.bytes("smollm2-135m-instruct-gguf/golden_tokenizer.json"))
    let rows = try #require(golden["strings"]?.array)
    #expect(rows.count == 397)
    for row in rows {
      let text = row["text"]?.string ?? ""
      let ids = row["ids"]?.array?.compactMap { $0.integer.map { Int32($0) } }
      #expect(tokenizer.encode(text) == ids, "\(text.debugDescription)")
      // The vocabulary has no token for the byte 1D.
      let spelled = text.filter { $0 != "\u{1D}" }
      #expect(sameText(tokenizer.decode(tokenizer.encode(text)), spelled), "\(text.debugDescription)")
    }
    #expect(tokenizer.encode("<|im_start|>user") == [1, 4093])
    #expect(tokenizer.endOfText == [2])
    #expect(tokenizer.special.contains(1))
  }

  /// The tests' own byte-level vocabularies, written as a GGUF file holds them, give the ids of their `tokenizer.json`.
  @Test(arguments: [("bpe-smollm", "smollm"), ("bpe-llama3", "llama-bpe")])
  func byteLevelVocabulariesGiveTheSameIDs(name: String, rule: String) throws {
    let json = try JSON.parse(Fixture.bytes("tokenizers/\(name)/tokenizer.json"))
    let vocabulary = try #require(json["model"]?["vocab"]?.object)
    let added = json["added_tokens"]?.array ?? []
    let ids = vocabulary.members.compactMap(\.value.integer) + added.compactMap { $0["id"]?.integer }
    var texts = [String](repeating: "", count: (ids.max() ?? -1) + 1)
    var kinds = [Int32](repeating: 1, count: texts.count)
    for member in vocabulary.members { texts[try #require(member.value.integer)] = member.key }
    for token in added {
      let id = try #require(token["id"]?.integer)
      texts[id] = token["content"]?.string ?? ""
      kinds[id] = token["special"]?.bool == true ? 3 : 4
    }
    let merges = (json["model"]?["merges"]?.array ?? []).map { merge in
      merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")
    }
    var metadata = Metadata()
    metadata.set("model", "gpt2")
    metadata.set("pre", rule)
    metadata.set("tokens", texts)
    metadata.set("token_type", kinds)
    metadata.set("merges", merges)
    let tokenizer = try metadata.tokenizer()
    for row in try TokenizerGoldens(name).rows {
      #expect(tokenizer.encode(row.text) == row.ids, "\(row.text.debugDescription)")
      if let decoded = row.decoded { #expect(sameText(tokenizer.decode(row.ids), decoded)) }
    }
  }

  /// RWKV's vocabulary, written as a GGUF file holds it, with more ids than tokens: the ids that it gives in its own file.
  @Test func theWorldVocabularyGivesTheSameIDs() throws {
    let folder = TemporaryFolder()
    let files = Fixture.model("tokenizers/rwkv-world")
    let metadata = try #require(try Tokenizer.ggufMetadata(files, vocabulary: 65_536))
    let writer = try GGUFWriter(folder("model.gguf"), metadata: metadata, tensors: [])
    try writer.commit()
    let tokenizer = try Tokenizer.load(ModelFiles(folder: folder.path))
    let goldens = try TokenizerGoldens("rwkv-world")
    #expect(goldens.rows.count > 100)
    for row in goldens.rows { #expect(tokenizer.encode(row.text) == row.ids, "\(row.text.debugDescription)") }
    let own = try Tokenizer.load(files)
    for id in 0..<Int32(65_530) { #expect(tokenizer.decode([id]) == own.decode([id])) }
    #expect(tokenizer.endOfText == [0] && tokenizer.beginning.isEmpty)
    let names = try GGUFFile(FileBytes.mapping(folder("model.gguf"))).metadata.array("tokenizer.ggml.tokens")?.texts()
    #expect(names?.count == 65_536 && names?[1] == Array(#"\x00"#.utf8) && names?[65_535] == Array("[PAD65535]".utf8))
  }

  @Test func sentencePiecesMergeByScore() throws {
    var metadata = Metadata()
    let digits = Array("0123456789ABCDEF")
    let bytes = (0..<256).map { "<0x\(digits[$0 / 16])\(digits[$0 % 16])>" }
    let pieces = ["▁", "a", "b", "ab", "▁a", "▁ab"]
    metadata.set("model", "llama")
    metadata.set("tokens", ["<unk>", "<s>", "</s>"] + bytes + pieces)
    metadata.set("token_type", [2, 3, 3] + bytes.map { _ in Int32(6) } + pieces.map { _ in Int32(1) })
    metadata.set("scores", [0, 0, 0] + bytes.map { _ in Float(0) } + [-4, -5, -6, -1, -2, -3])
    metadata.set("bos_token_id", 1)
    metadata.set("eos_token_id", 2)
    let tokenizer = try metadata.tokenizer()
    let (space, a, ab, spaceAB) = (Int32(259), Int32(260), Int32(262), Int32(264))
    #expect(tokenizer.encode("ab") == [spaceAB])
    #expect(tokenizer.encode("ab ab", special: true) == [1, spaceAB, spaceAB])
    #expect(tokenizer.encode("aab") == [263, ab])
    // The pieces of bytes C3 and A9.
    #expect(tokenizer.encode("é") == [space, 198, 172])
    #expect(tokenizer.encode("a</s>").last == 2)
    #expect(tokenizer.decode([spaceAB, a]) == "aba")
    #expect(tokenizer.beginOfText == 1)
    #expect(tokenizer.endOfText == [2])
  }

  @Test func whatIsNotEscapedIsRefused() throws {
    var metadata = Metadata()
    metadata.set("model", "rwkv")
    metadata.set("tokens", ["<s>", #"\xq"#])
    let error = #expect(throws: MeanderError.self) { try metadata.tokenizer() }
    #expect(error?.what.contains("token 1") == true)
  }

  @Test func whatIsNotUnderstoodIsRefused() throws {
    func refusal(_ change: (inout Metadata) -> Void) -> MeanderError? {
      var metadata = Metadata()
      metadata.set("tokens", ["a", "b"])
      change(&metadata)
      do {
        _ = try metadata.tokenizer()
        return nil
      } catch { return error as? MeanderError }
    }
    let cases: [((inout Metadata) -> Void, String)] = [
      ({ $0.set("model", "bert") }, "\"bert\""),
      ({ _ in }, "\"none\""),
      ({ $0.set("model", "gpt2"); $0.set("pre", "tekken") }, "\"tekken\""),
      ({ $0.set("model", "gpt2"); $0.set("pre", "gpt-2"); $0.set("merges", ["a c"]) }, "merges"),
      ({ $0.set("model", "gpt2"); $0.set("pre", "gpt-2"); $0.set("merges", [""]) }, "merges"),
      ({ $0.set("model", "gpt2"); $0.set("pre", "gpt-2"); $0.set("eos_token_id", 2) }, "eos_token_id"),
      ({ $0.set("model", "llama") }, "scores"),
      ({ $0.set("model", "rwkv") }, "byte 0"),
      ({ $0.set("model", "gpt2"); $0.set("token_type", [Int32(1)]) }, "token_type"),
      ({ $0.set("model", "llama"); $0.set("scores", [0, Float.nan]) }, "score"),
    ]
    for (index, (change, says)) in cases.enumerated() {
      let error = try #require(refusal(change), "case \(index) was read")
      #expect(error.what.contains(says), "case \(index): \(error.what)")
    }
  }
}
