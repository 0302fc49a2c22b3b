import MeanderErrors
import MeanderFiles

/// A sentencepiece `.model` (Kudo and Richardson 2018): a protocol buffer of pieces with scores, and how to
/// normalize.
struct SentencePieceFile {
  /// What a piece is, by its number in the format.
  enum Kind: UInt64 {
    case normal = 1, unknown, control, userDefined, unused, byte
  }

  struct Piece {
    var text: [UInt8] = []
    var score: Float = 0
    var kind = Kind.normal
  }

  private(set) var pieces: [Piece] = []
  /// 1 unigram, 2 BPE.
  private var modelType: UInt64 = 1
  private var unknownSurface = Array(" \u{2047} ".utf8)
  private var characterMap: ArraySlice<UInt8> = []
  private var addsPrefix = true
  private var dropsExtraSpaces = true
  private var escapesSpaces = true
  let path: String

  init(_ file: FileBytes) throws {
    path = file.path
    let bytes = file.copy()
    var model = Protobuf(bytes[...], at: path)
    while let (field, value) = try model.next() {
      switch (field, value) {
      case (1, .bytes(let piece)): pieces.append(try self.piece(piece))
      case (2, .bytes(let trainer)): try readTrainer(trainer)
      case (3, .bytes(let normalizer)): try readNormalizer(normalizer)
      default: break
      }
      guard pieces.count <= TokenizerFile.mostIDs else { throw damaged("it holds too many pieces") }
    }
    guard !pieces.isEmpty else { throw damaged("it holds no pieces") }
  }

  /// A vocabulary whose pieces merge by their scores, from another kind of file.
  init(mergingPieces pieces: [Piece], addsPrefix: Bool, dropsExtraSpaces: Bool, path: String) {
    (self.pieces, self.addsPrefix, self.dropsExtraSpaces, self.path) = (pieces, addsPrefix, dropsExtraSpaces, path)
    modelType = 2
  }

  private func damaged(_ what: String) -> MeanderError {
    MeanderError(.badData, what, at: path, remedy: "Fetch the tokenizer again.")
  }

  private func unsupported(_ what: String) -> MeanderError {
    MeanderError(.unsupported, what, at: path, remedy: "Convert it to a tokenizer.json.")
  }

  private func piece(_ bytes: ArraySlice<UInt8>) throws -> Piece {
    var piece = Piece()
    var message = Protobuf(bytes, at: path)
    while let (field, value) = try message.next() {
      switch (field, value) {
      case (1, .bytes(let text)): piece.text = Array(text)
      case (2, .fixed32(let bits)): piece.score = Float(bitPattern: bits)
      case (3, .varint(let number)):
        guard let kind = Kind(rawValue: number) else {
          throw damaged("piece \(pieces.count) is of unknown kind \(number)")
        }
        piece.kind = kind
      default: break
      }
    }
    guard piece.score.isFinite else { throw damaged("the score of piece \(pieces.count) is not finite") }
    return piece
  }

  private mutating func readTrainer(_ bytes: ArraySlice<UInt8>) throws {
    var message = Protobuf(bytes, at: path)
    while let (field, value) = try message.next() {
      switch (field, value) {
      case (3, .varint(let type)): modelType = type
      case (24, .varint(let isSuffix)) where isSuffix != 0: throw unsupported("spaces behind words are not understood")
      case (44, .bytes(let surface)): unknownSurface = Array(surface)
      default: break
      }
    }
  }

  private mutating func readNormalizer(_ bytes: ArraySlice<UInt8>) throws {
    var message = Protobuf(bytes, at: path)
    while let (field, value) = try message.next() {
      switch (field, value) {
      case (2, .bytes(let map)): characterMap = map
      case (3, .varint(let flag)): addsPrefix = flag != 0
      case (4, .varint(let flag)): dropsExtraSpaces = flag != 0
      case (5, .varint(let flag)): escapesSpaces = flag != 0
      default: break
      }
    }
  }

  func tokenizer() throws -> Tokenizer.Parts {
    var table = PieceTable(count: pieces.count)
    for (id, piece) in pieces.enumerated() { table.insert(piece.text, id: Int32(id)) }
    guard let unknown = pieces.firstIndex(where: { $0.kind == .unknown }) else {
      throw damaged("no piece stands for the unknown")
    }
    if let odd = pieces.first(where: { $0.kind == .userDefined || $0.kind == .unused }) {
      throw unsupported(
        "user-defined and unused pieces ('\(String(decoding: odd.text, as: UTF8.self))') are not understood")
    }
    var encoding = Encoding(
      model: try model(table, unknown: Int32(unknown)),
      cutter: .neighbors(Neighbors(pieces.lazy.filter { $0.kind == .normal }.map { $0.text[...] })))
    encoding.normalizer = try normalizer()
    let control = pieces.indices.filter { pieces[$0].kind == .control }.map { Int32($0) }
    return Tokenizer.Parts(
      kind: modelType == 1 ? "sentencepiece unigram" : "sentencepiece BPE", pieces: table, encoding: encoding,
      decoding: .text(textPieces(table)), special: Set(control))
  }

  private func normalizer() throws -> Normalizer {
    var steps: [Normalizer.Step] = []
    if !characterMap.isEmpty { steps.append(.characterMap(try CharacterMap(characterMap, at: path))) }
    if dropsExtraSpaces { steps.append(.extraSpaces) }
    let space: UInt32 = escapesSpaces ? 0x2581 : 0x20
    if escapesSpaces { steps.append(.replace(pattern: [0x20], by: [0x2581])) }
    if addsPrefix { steps.append(.prepend([space], .always)) }
    return Normalizer(steps: steps)
  }

  private func model(_ table: PieceTable, unknown: Int32) throws -> Encoding.Model {
    let fallback = pieces.contains { $0.kind == .byte } ? ByteFallback(table) : nil
    let normal = pieces.indices.filter { pieces[$0].kind == .normal && !pieces[$0].text.isEmpty }
    switch modelType {
    case 1:
      let unigram = UnigramModel(
        trie: ByteTrie(normal.map { (pieces[$0].text, Int32($0)) }), scores: pieces.map { Double($0.score) },
        smallestScore: normal.map { Double(pieces[$0].score) }.min() ?? 0, unknown: unknown)
      return .unigram(unigram, fallback: fallback, fusesUnknown: true)
    case 2:
      if let long = normal.first(where: { pieces[$0].text.count > Self.longestPiece }) {
        throw unsupported("piece \(long) is longer than \(Self.longestPiece) bytes")
      }
      var symbols = PairTable(capacity: normal.count)
      for id in normal where readScalar(pieces[id].text, 0).length == pieces[id].text.count {
        symbols.insert(PairTable.key(0, readScalar(pieces[id].text, 0).value), UInt64(id))
      }
      return .characters(
        CharacterModel(
          merges: MergeModel(merges: mergeTable(normal, table)), symbols: symbols, fallback: fallback, unknown: unknown,
          fusesUnknown: true))
    default: throw unsupported("sentencepiece's model type \(modelType) is not understood")
    }
  }

  /// Two pieces that together make a third may merge, the highest score first; equal scores are equal in
  /// rank.
  private func mergeTable(_ normal: [Int], _ table: PieceTable) -> PairTable {
    let scores = Set(normal.map { pieces[$0].score }).sorted(by: >)
    let ranks = Dictionary(uniqueKeysWithValues: scores.enumerated().map { ($1, UInt64($0)) })
    var merges = PairTable(capacity: 4 * normal.count)
    for id in normal {
      let text = pieces[id].text
      guard let rank = ranks[pieces[id].score] else { continue }
      for middle in text.indices.dropFirst() where text[middle] & 0xC0 != 0x80 {
        guard let left = table.id(of: text[..<middle]), let right = table.id(of: text[middle...]),
          pieces[Int(left)].kind == .normal, pieces[Int(right)].kind == .normal
        else { continue }
        merges.insert(
          PairTable.key(UInt32(bitPattern: left), UInt32(bitPattern: right)), rank << 32 | UInt64(id))
      }
    }
    return merges
  }

  /// In bytes. Trying all ways to halve a piece is quadratic in it, and published ones are far shorter.
  private static let longestPiece = 256

  private func textPieces(_ table: PieceTable) -> TextPieces {
    let beginning: TextPieces.Beginning =
      addsPrefix || dropsExtraSpaces ? .leadingMarks(keepsRuns: !dropsExtraSpaces) : .nothing
    var text = TextPieces(
      spelled: table, beginning: beginning, knowsBytes: pieces.contains { $0.kind == .byte })
    text.pieces = PieceTable(count: table.count)
    let read = TextPieces(spelled: table, beginning: beginning, knowsBytes: false).pieces
    for (id, piece) in pieces.enumerated() {
      switch piece.kind {
      case .control: text.pieces.insert([], id: Int32(id))
      case .unknown: text.pieces.insert(unknownSurface, id: Int32(id))
      default: text.pieces.insert(read[Int32(id)], id: Int32(id))
      }
    }
    return text
  }
}
