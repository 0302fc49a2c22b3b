import MeanderErrors
import MeanderFiles

/// A `tokenizer.json`, the format of Hugging Face's `tokenizers` library, being read.
///
/// Everything that changes ids is understood or refused by name; nothing is passed over that could.
struct TokenizerFile {
  let root: JSON
  let path: String

  /// Larger ids are refused: no published vocabulary comes near, and a table of that size is what a file may
  /// make us keep.
  static let mostIDs = 2_000_000

  init(_ file: FileBytes) throws {
    root = try JSON.parse(file)
    path = file.path
  }

  func damaged(_ what: String) -> MeanderError {
    MeanderError(.badData, what, at: path, remedy: "Fetch the tokenizer again.")
  }

  func unsupported(_ what: String) -> MeanderError {
    MeanderError(.unsupported, what, at: path, remedy: "Docs/Tokenizers.md lists what is understood.")
  }

  func tokenizer() throws -> Tokenizer.Parts {
    guard let model = root["model"]?.object else { throw damaged("there is no model in it") }
    let type = model["type"]?.string ?? (model["merges"] == nil ? "none" : "BPE")
    guard type == "BPE" || type == "Unigram" else { throw unsupported("tokenizer model '\(type)' is not understood") }
    let added = try addedTokens()
    let vocabulary = try type == "BPE" ? mergeVocabulary(model) : unigramVocabulary(model)
    let pieces = try pieceTable(vocabulary, added)
    let normalizer = try TokenizerFileNormalizer(file: self).normalizer(root["normalizer"] ?? .null)
    let splitting = try preTokenizer(normalizer)

    var encoding = try type == "BPE"
      ? mergeEncoding(model, pieces, splitting, vocabulary) : unigramEncoding(model, pieces, splitting, vocabulary)
    encoding.normalizer = normalizer
    encoding.stretches = splitting.stretches
    encoding.verbatimTokens = AddedTokens(added.filter { !$0.isNormalized }.map(\.token))
    encoding.normalizedTokens = AddedTokens(
      added.filter(\.isNormalized).map { item in
        var token = item.token
        token.content = normalizer.normalized(token.content)
        return token
      })

    let decoding = try decoding(pieces)
    let special = Set(added.filter(\.isSpecial).map(\.token.id))
    var parts = Tokenizer.Parts(
      kind: splitting.isByteLevel ? "byte-level BPE" : type == "BPE" ? "BPE" : "unigram", pieces: pieces,
      encoding: encoding, decoding: decoding, special: special)
    (parts.prefix, parts.suffix) = try template(root["post_processor"] ?? .null, pieces)
    parts.beginOfText = parts.prefix.first
    parts.endOfText = Set(parts.suffix)
    return parts
  }

  struct Added {
    var token: AddedToken
    var isNormalized: Bool
    var isSpecial: Bool
  }

  private func addedTokens() throws -> [Added] {
    try (root["added_tokens"]?.array ?? []).compactMap { item in
      guard let content = item["content"]?.string, let id = item["id"]?.integer, (0..<Self.mostIDs).contains(id) else {
        throw damaged("an added token lacks its content or a fitting id")
      }
      let isSpecial = item["special"]?.bool ?? false
      let token = AddedToken(
        id: Int32(id), content: Array(content.utf8), isSingleWord: item["single_word"]?.bool ?? false,
        stripsLeft: item["lstrip"]?.bool ?? false, stripsRight: item["rstrip"]?.bool ?? false)
      return Added(token: token, isNormalized: item["normalized"]?.bool ?? !isSpecial, isSpecial: isSpecial)
    }
  }

  /// Pieces in the file's order, with their ids and, for unigrams, their scores.
  struct Vocabulary {
    var pieces: [(piece: [UInt8], id: Int32)] = []
    var scores: [Double] = []
  }

  private func mergeVocabulary(_ model: JSONObject) throws -> Vocabulary {
    guard let members = model["vocab"]?.object?.members else { throw damaged("the model has no vocab") }
    return Vocabulary(
      pieces: try members.map { member in
        guard let id = member.value.integer, (0..<Self.mostIDs).contains(id) else {
          throw damaged("piece '\(member.key)' has no id from 0 to \(Self.mostIDs - 1)")
        }
        return (Array(member.key.utf8), Int32(id))
      })
  }

  private func unigramVocabulary(_ model: JSONObject) throws -> Vocabulary {
    guard let entries = model["vocab"]?.array, entries.count <= Self.mostIDs else {
      throw damaged("the model has no vocab of fitting size")
    }
    var vocabulary = Vocabulary()
    for (id, entry) in entries.enumerated() {
      guard let pair = entry.array, pair.count == 2, let piece = pair[0].string, let score = pair[1].double,
        score.isFinite
      else { throw damaged("vocab entry \(id) is not a piece with a finite score") }
      vocabulary.pieces.append((Array(piece.utf8), Int32(id)))
      vocabulary.scores.append(score)
    }
    return vocabulary
  }

  private func pieceTable(_ vocabulary: Vocabulary, _ added: [Added]) throws -> PieceTable {
    let ids = vocabulary.pieces.map(\.id) + added.map(\.token.id)
    var table = PieceTable(count: Int(ids.max() ?? -1) + 1)
    for (piece, id) in vocabulary.pieces {
      guard !table.holds(id) else { throw damaged("id \(id) is given to two pieces") }
      table.insert(piece, id: id)
    }
    for item in added {
      if table.holds(item.token.id) {
        guard table[item.token.id].elementsEqual(item.token.content) else {
          throw damaged("id \(item.token.id) is given to a piece and to another added token")
        }
      } else {
        table.insert(item.token.content, id: item.token.id)
      }
    }
    return table
  }

  private func mergeEncoding(
    _ model: JSONObject, _ pieces: PieceTable, _ splitting: Splitting, _ vocabulary: Vocabulary
  ) throws -> Encoding {
    for key in ["continuing_subword_prefix", "end_of_word_suffix"] where !(model[key]?.string ?? "").isEmpty {
      throw unsupported("the model's \(key) is not understood")
    }
    if let dropout = model["dropout"]?.double, dropout != 0 {
      throw unsupported("the model's dropout is not understood")
    }
    let merges = MergeModel(merges: try mergeTable(model["merges"]?.array ?? [], pieces))
    let takesWholeWords = model["ignore_merges"]?.bool ?? false
    if splitting.isByteLevel {
      let symbols = ByteLevelAlphabet.ids(in: pieces)
      let whole = takesWholeWords ? wholeWords(vocabulary, pieces.count) : nil
      return Encoding(
        model: .byteLevel(ByteLevelModel(merges: merges, symbols: symbols, wholeWords: whole)), cutter: splitting.cutter
      )
    }
    if takesWholeWords { throw unsupported("ignore_merges is understood with byte-level vocabularies only") }
    var symbols = PairTable(capacity: vocabulary.pieces.count)
    for (piece, id) in vocabulary.pieces where !piece.isEmpty && readScalar(piece, 0).length == piece.count {
      symbols.insert(PairTable.key(0, readScalar(piece, 0).value), UInt64(id))
    }
    let unknown = try model["unk_token"]?.string.map { name in
      guard let id = pieces.id(of: Array(name.utf8)) else { throw damaged("unk_token '\(name)' is no piece") }
      return id
    }
    let fallback = model["byte_fallback"]?.bool ?? false ? ByteFallback(pieces) : nil
    return Encoding(
      model: .characters(
        CharacterModel(
          merges: merges, symbols: symbols, fallback: fallback, unknown: unknown,
          fusesUnknown: model["fuse_unk"]?.bool ?? false)),
      cutter: splitting.cutter(for: vocabulary))
  }

  private func wholeWords(_ vocabulary: Vocabulary, _ count: Int) -> PieceTable {
    var table = PieceTable(count: count)
    for (piece, id) in vocabulary.pieces {
      if let bytes = ByteLevelAlphabet.bytes(of: piece) { table.insert(bytes, id: id) }
    }
    return table
  }

  private func mergeTable(_ merges: [JSON], _ pieces: PieceTable) throws -> PairTable {
    var table = PairTable(capacity: merges.count)
    for (rank, merge) in merges.enumerated() {
      let pair: [[UInt8]]
      if let halves = merge.array {
        pair = halves.compactMap { $0.string.map { Array($0.utf8) } }
      } else {
        pair = (merge.string ?? "").utf8.split(separator: 0x20, omittingEmptySubsequences: false).map { Array($0) }
      }
      guard pair.count == 2, let left = pieces.id(of: pair[0]), let right = pieces.id(of: pair[1]),
        let merged = pieces.id(of: pair[0] + pair[1])
      else { throw damaged("merge \(rank) does not join two pieces to a third") }
      table.insert(
        PairTable.key(UInt32(bitPattern: left), UInt32(bitPattern: right)),
        UInt64(rank) << 32 | UInt64(UInt32(bitPattern: merged)))
    }
    return table
  }

  private func unigramEncoding(
    _ model: JSONObject, _ pieces: PieceTable, _ splitting: Splitting, _ vocabulary: Vocabulary
  ) throws -> Encoding {
    guard !splitting.isByteLevel else { throw unsupported("unigrams over bytes are not understood") }
    guard let unknown = model["unk_id"]?.integer, vocabulary.scores.indices.contains(unknown) else {
      throw damaged("unk_id names no piece")
    }
    let unigram = UnigramModel(
      trie: ByteTrie(vocabulary.pieces.map { ($0.piece, $0.id) }), scores: vocabulary.scores,
      smallestScore: vocabulary.scores.min() ?? 0, unknown: Int32(unknown))
    let fallback = model["byte_fallback"]?.bool ?? false ? ByteFallback(pieces) : nil
    return Encoding(
      model: .unigram(unigram, fallback: fallback, fusesUnknown: true), cutter: splitting.cutter(for: vocabulary))
  }
}

extension ByteFallback {
  /// Nil unless all 256 byte pieces are there.
  init?(_ pieces: PieceTable) {
    let digits = Array("0123456789ABCDEF".utf8)
    let found = (0..<256).compactMap { byte in
      pieces.id(of: Array("<0x".utf8) + [digits[byte >> 4], digits[byte & 15]] + Array(">".utf8))
    }
    guard found.count == 256 else { return nil }
    ids = found
  }
}
