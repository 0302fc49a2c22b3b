import MeanderErrors
import MeanderFiles

extension Tokenizer {
  /// Finds and reads a model's tokenizer: `tokenizer.json`, `tokenizer.model`, `rwkv_vocab*.txt`, in this
  /// order; a model that has none, and whose vocabulary is the 256 bytes, speaks bytes. A GGUF file holds its own.
  ///
  /// Throws `.badData` for a file that is damaged, `.unsupported` for one that asks for what is not
  /// understood, naming it.
  package static func load(_ files: ModelFiles) throws -> Tokenizer {
    if let file = try files.gguf() {
      if let tokenizer = try GGUFTokenizer(file) { return Tokenizer(try tokenizer.tokenizer()) }
      let architecture = try file.metadata.text("general.architecture") ?? ""
      if try file.metadata.integer("\(architecture).vocab_size") == 256 { return .bytes }
      throw MeanderError(.notFound, "the file holds no tokenizer", at: file.path, remedy: "Give the model ids.")
    }
    for name in files.fileNames.sorted(by: precedes) where isTokenizer(name) {
      guard let file = try files.file(name) else { continue }
      var parts = try parts(file, name)
      try addHints(files, to: &parts)
      if name == "tokenizer.model" { try addTemplate(files, to: &parts) }
      return Tokenizer(parts)
    }
    let configuration = try json("config.json", of: files)
    if let size = configuration?["vocab_size"]?.integer, size == 256 { return .bytes }
    throw MeanderError(
      .notFound, "the model has no tokenizer that is understood", at: files.name,
      remedy: "Put its tokenizer.json, tokenizer.model or rwkv_vocab….txt beside the weights.")
  }

  /// The tokenizer that one file describes; its name's ending says in which format.
  package static func reading(_ file: FileBytes) throws -> Tokenizer { Tokenizer(try parts(file, file.path)) }

  private static func parts(_ file: FileBytes, _ name: String) throws -> Parts {
    if name.hasSuffix(".json") { return try TokenizerFile(file).tokenizer() }
    if name.hasSuffix(".model") { return try SentencePieceFile(file).tokenizer() }
    return try WorldVocabulary(file).tokenizer()
  }

  private static func isTokenizer(_ name: String) -> Bool {
    name == "tokenizer.json" || name == "tokenizer.model" || name.hasPrefix("rwkv_vocab") && name.hasSuffix(".txt")
  }

  private static func precedes(_ a: String, _ b: String) -> Bool {
    let order = ["tokenizer.json", "tokenizer.model"]
    return (order.firstIndex(of: a) ?? order.count, a) < (order.firstIndex(of: b) ?? order.count, b)
  }

  /// The ids that begin and end a text, as the files beside the tokenizer name them.
  private static func addHints(_ files: ModelFiles, to parts: inout Parts) throws {
    let hints = try json("tokenizer_config.json", of: files)
    func id(_ key: String) -> Int32? {
      let value = hints?[key]
      return (value?.string ?? value?["content"]?.string).flatMap { parts.pieces.id(of: Array($0.utf8)) }
    }
    if let begin = id("bos_token") { parts.beginOfText = begin }
    if let end = id("eos_token") { parts.endOfText.insert(end) }
    for name in ["generation_config.json", "config.json"] {
      guard let ends = try json(name, of: files)?["eos_token_id"] else { continue }
      for end in ends.array ?? [ends] {
        if let id = end.integer.flatMap({ Int32(exactly: $0) }), parts.pieces.holds(id) { parts.endOfText.insert(id) }
      }
    }
  }

  /// sentencepiece knows no template: whether a text is begun and ended by tokens stands beside it.
  private static func addTemplate(_ files: ModelFiles, to parts: inout Parts) throws {
    let hints = try json("tokenizer_config.json", of: files)
    if hints?["add_bos_token"]?.bool ?? false, let begin = parts.beginOfText { parts.prefix = [begin] }
    if hints?["add_eos_token"]?.bool ?? false, let end = parts.endOfText.min() { parts.suffix = [end] }
  }

  private static func json(_ name: String, of files: ModelFiles) throws -> JSON? {
    try files.file(name).map { try JSON.parse($0) }
  }
}
