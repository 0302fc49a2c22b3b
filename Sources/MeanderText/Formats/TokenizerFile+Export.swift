import MeanderErrors
import MeanderFiles

extension TokenizerFile {
  /// The tokenizer as the metadata of a GGUF file: byte-level BPE whose splitting rule such files have a name for; nil for others.
  ///
  /// - Parameter vocabulary: how many tokens the model has a logit for, which other readers want as many names for.
  func ggufMetadata(vocabulary rows: Int) throws -> [(key: String, value: GGUFWriter.Value)]? {
    guard let model = root["model"]?.object, model["type"]?.string ?? "BPE" == "BPE", try tokenizer().kind == "byte-level BPE",
      let rule = try splitRuleName(takesWholeWords: model["ignore_merges"]?.bool ?? false)
    else { return nil }
    let vocabulary = model["vocab"]?.object?.members ?? []
    let added = root["added_tokens"]?.array ?? []
    let ids = vocabulary.compactMap(\.value.integer) + added.compactMap { $0["id"]?.integer }
    var texts = [[UInt8]](repeating: [], count: max(rows, (ids.max() ?? -1) + 1))
    // 5: unused, which is what an id without a token is.
    var kinds = [Int](repeating: 5, count: texts.count)
    for member in vocabulary {
      guard let id = member.value.integer else { continue }
      (texts[id], kinds[id]) = (Array(member.key.utf8), 1)
    }
    for token in added {
      guard let id = token["id"]?.integer, let content = token["content"]?.string else { continue }
      (texts[id], kinds[id]) = (Array(content.utf8), token["special"]?.bool ?? false ? 3 : 4)
    }
    for id in texts.indices where texts[id].isEmpty { texts[id] = Array("[PAD\(id)]".utf8) }
    let merges = (model["merges"]?.array ?? []).map { merge in
      Array((merge.string ?? (merge.array ?? []).compactMap(\.string).joined(separator: " ")).utf8)
    }
    return [
      ("tokenizer.ggml.model", .text("gpt2")), ("tokenizer.ggml.pre", .text(rule)), ("tokenizer.ggml.tokens", .texts(texts)),
      ("tokenizer.ggml.token_type", .counts(kinds)), ("tokenizer.ggml.merges", .texts(merges)),
    ]
  }

  /// What GGUF files call the rule that cuts text into words.
  private func splitRuleName(takesWholeWords: Bool) throws -> String? {
    let splitting = try preTokenizer(Normalizer())
    guard case .words(let scanner) = splitting.cutter, splitting.stretches.steps.isEmpty else { return nil }
    if takesWholeWords { return scanner.rule == .llama3 ? "llama-bpe" : nil }
    switch scanner.rule {
    case .gpt2: return "gpt-2"
    case .gpt2IsolatedDigits: return "smollm"
    case .llama3: return "dbrx"
    case .qwen: return "qwen2"
    default: return nil
    }
  }
}

extension Tokenizer {
  /// The tokenizer of a model as the metadata of a GGUF file; nil where it has none that such files know.
  ///
  /// - Parameter vocabulary: how many tokens the model has a logit for.
  package static func ggufMetadata(
    _ files: ModelFiles, vocabulary: Int
  ) throws -> [(key: String, value: GGUFWriter.Value)]? {
    if let name = files.fileNames.sorted().first(where: { $0.hasPrefix("rwkv_vocab") && $0.hasSuffix(".txt") }),
      try files.file("tokenizer.json") == nil, let file = try files.file(name)
    {
      let (texts, kinds) = try WorldVocabulary(file).escaped(count: vocabulary)
      return [
        ("tokenizer.ggml.model", .text("rwkv")), ("tokenizer.ggml.tokens", .texts(texts)),
        ("tokenizer.ggml.token_type", .counts(kinds)), ("tokenizer.ggml.bos_token_id", .count(0)),
        ("tokenizer.ggml.eos_token_id", .count(0)), ("tokenizer.ggml.add_bos_token", .bool(false)),
      ]
    }
    guard let file = try files.file("tokenizer.json"),
      var metadata = try TokenizerFile(file).ggufMetadata(vocabulary: vocabulary)
    else { return nil }
    let tokenizer = try load(files)
    metadata.append(("tokenizer.ggml.add_bos_token", .bool(!tokenizer.prefix.isEmpty)))
    if let begin = tokenizer.beginOfText { metadata.append(("tokenizer.ggml.bos_token_id", .count(Int(begin)))) }
    if let end = tokenizer.endOfText.min() { metadata.append(("tokenizer.ggml.eos_token_id", .count(Int(end)))) }
    return metadata
  }
}
