import MeanderErrors
import MeanderFiles

/// The tokenizer in a GGUF file's metadata: byte-level BPE (`gpt2`), sentencepiece's BPE (`llama`) and RWKV's world
/// vocabulary (`rwkv`).
///
/// Control tokens are matched in the text as the special tokens they are, and user-defined ones as plain ones; whatever else
/// would change ids is refused by name.
struct GGUFTokenizer {
  private let metadata: GGUFMetadata
  private let texts: [[UInt8]]
  private let kinds: [Int]

  /// What a token is, by its number in the format; the same numbers as in sentencepiece's files.
  private typealias Kind = SentencePieceFile.Kind

  /// The rules that the names of pre-tokenizers stand for.
  private static let rules: [String: SplitRule] = [
    "gpt-2": .gpt2, "olmo": .gpt2, "mpt": .gpt2, "phi-2": .gpt2, "smollm": .gpt2IsolatedDigits,
    "starcoder": .gpt2IsolatedDigits, "refact": .gpt2IsolatedDigits, "llama3": .llama3, "llama-v3": .llama3,
    "llama-bpe": .llama3, "dbrx": .llama3, "smaug-bpe": .llama3, "qwen2": .qwen, "deepseek-r1-qwen": .qwen,
    "stablelm2": .qwen,
  ]
  private static let takesWholeWords: Set = ["llama3", "llama-v3", "llama-bpe"]

  /// Nil where the file says that it holds no tokenizer.
  init?(_ file: GGUFFile) throws {
    metadata = file.metadata
    guard let array = try metadata.array("tokenizer.ggml.tokens") else { return nil }
    guard array.count <= TokenizerFile.mostIDs else {
      throw metadata.failure("tokenizer.ggml.tokens", "holds \(array.count) tokens, more than \(TokenizerFile.mostIDs)")
    }
    texts = try array.texts()
    kinds = try metadata.array("tokenizer.ggml.token_type")?.integers() ?? texts.map { _ in 1 }
    guard kinds.count == texts.count else {
      throw metadata.failure("tokenizer.ggml.token_type", "has \(kinds.count) entries for \(texts.count) tokens")
    }
  }

  func tokenizer() throws -> Tokenizer.Parts {
    let model = try metadata.text("tokenizer.ggml.model") ?? "none"
    var parts: Tokenizer.Parts
    switch model {
    case "gpt2": parts = try byteLevel()
    case "llama": parts = try sentencePiece()
    case "rwkv": parts = try world()
    default:
      throw metadata.failure(
        "tokenizer.ggml.model", "is \"\(model)\", which is not understood; gpt2, llama and rwkv are", .unsupported)
    }
    parts.beginOfText = try id("bos")
    if model != "rwkv" { parts.endOfText = [] }
    parts.endOfText.formUnion([try id("eos"), try id("eot")].compactMap { $0 })
    let isSentencePiece = model == "llama"
    let begins = try Self.takesWholeWords.contains(metadata.text("tokenizer.ggml.pre") ?? "") || isSentencePiece
    if try metadata.bool("tokenizer.ggml.add_bos_token") ?? begins, let begin = parts.beginOfText { parts.prefix = [begin] }
    if try metadata.bool("tokenizer.ggml.add_eos_token") ?? false, let end = try id("eos") { parts.suffix = [end] }
    return parts
  }

  private func id(_ name: String) throws -> Int32? {
    let key = "tokenizer.ggml.\(name)_token_id"
    guard let id = try metadata.integer(key) else { return nil }
    guard texts.indices.contains(id) else { throw metadata.failure(key, "is \(id), outside of the vocabulary") }
    return Int32(id)
  }

  /// Tokens that are matched in the text itself.
  private var added: [AddedToken] {
    texts.indices.filter { !texts[$0].isEmpty && (isOf(.control, $0) || isOf(.userDefined, $0)) }
      .map { AddedToken(id: Int32($0), content: texts[$0]) }
  }
  private var control: Set<Int32> { Set(texts.indices.filter { isOf(.control, $0) }.map { Int32($0) }) }
  private func isOf(_ kind: Kind, _ id: Int) -> Bool { kinds[id] == Int(kind.rawValue) }

  private func byteLevel() throws -> Tokenizer.Parts {
    let name = try metadata.text("tokenizer.ggml.pre") ?? "default"
    guard let rule = Self.rules[name] else {
      throw metadata.failure(
        "tokenizer.ggml.pre", "is \"\(name)\"; understood are \(Self.rules.keys.sorted().joined(separator: ", "))",
        .unsupported)
    }
    var pieces = PieceTable(count: texts.count)
    for (id, text) in texts.enumerated() { pieces.insert(text, id: Int32(id)) }
    let merges = try metadata.array("tokenizer.ggml.merges")?.texts() ?? []
    let whole = Self.takesWholeWords.contains(name) ? spelledOut : nil
    var encoding = Encoding(
      model: .byteLevel(
        ByteLevelModel(
          merges: MergeModel(merges: try mergeTable(merges, pieces)), symbols: ByteLevelAlphabet.ids(in: pieces),
          wholeWords: whole)),
      cutter: .words(WordScanner(rule)))
    if rule == .qwen { encoding.normalizer = Normalizer(steps: [.compose]) }
    encoding.verbatimTokens = AddedTokens(added)
    if try metadata.bool("tokenizer.ggml.add_space_prefix") ?? false {
      encoding.stretches.steps = [.prepend([0x20], .unlessThere)]
    }
    let (control, plain) = (self.control, Set(added.map(\.id)))
    var decoded = PieceTable(count: texts.count)
    for (id, text) in texts.enumerated() {
      decoded.insert(plain.contains(Int32(id)) ? text : ByteLevelAlphabet.bytes(of: text) ?? text, id: Int32(id))
    }
    return Tokenizer.Parts(
      kind: "byte-level BPE", pieces: pieces, encoding: encoding, decoding: .bytes(decoded), special: control)
  }

  private var spelledOut: PieceTable {
    var table = PieceTable(count: texts.count)
    for (id, text) in texts.enumerated() where isOf(.normal, id) {
      if let bytes = ByteLevelAlphabet.bytes(of: text) { table.insert(bytes, id: Int32(id)) }
    }
    return table
  }

  private func mergeTable(_ merges: [[UInt8]], _ pieces: PieceTable) throws -> PairTable {
    var table = PairTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      // No piece begins with a space, so that the first one behind the first byte parts the two.
      guard let space = merge.dropFirst().firstIndex(of: 0x20), let left = pieces.id(of: merge[..<space]),
        let right = pieces.id(of: merge[(space + 1)...]),
        let merged = pieces.id(of: merge[..<space] + merge[(space + 1)...])
      else {
        throw metadata.failure("tokenizer.ggml.merges", "holds at place \(rank) what does not join two tokens to a third")
      }
      table.insert(
        PairTable.key(UInt32(bitPattern: left), UInt32(bitPattern: right)),
        UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)))
    }
    return table
  }

  /// Id 0 stands for nothing, whatever the file calls it, and so do tokens that are not used.
  private func world() throws -> Tokenizer.Parts {
    let used = texts.indices.map { $0 > 0 && isOf(.normal, $0) ? texts[$0] : nil }
    return try WorldVocabulary(escaped: used, path: metadata.path).tokenizer()
  }

  private func sentencePiece() throws -> Tokenizer.Parts {
    guard let scores = try metadata.array("tokenizer.ggml.scores")?.numbers(), scores.count == texts.count else {
      throw metadata.failure("tokenizer.ggml.scores", "does not have a score for each token")
    }
    let pieces = try texts.indices.map { id in
      guard let kind = Kind(rawValue: UInt64(max(0, kinds[id]))), scores[id].isFinite else {
        throw metadata.failure("tokenizer.ggml.token_type", "or the score of token \(id) is none")
      }
      return SentencePieceFile.Piece(text: texts[id], score: Float(scores[id]), kind: kind)
    }
    let file = SentencePieceFile(
      mergingPieces: pieces, addsPrefix: try metadata.bool("tokenizer.ggml.add_space_prefix") ?? true,
      dropsExtraSpaces: try metadata.bool("tokenizer.ggml.remove_extra_whitespaces") ?? false, path: metadata.path)
    var parts = try file.tokenizer()
    parts.encoding.verbatimTokens = AddedTokens(added)
    return parts
  }
}
