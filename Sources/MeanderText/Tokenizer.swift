import MeanderErrors
import Synchronization

/// A vocabulary with everything that cuts text into its tokens and puts tokens together again.
///
/// Immutable but for a cache of words, and shared by all who encode with it.
public final class Tokenizer: Sendable {
  /// What the files describe, in a word or three: `byte-level BPE`, `unigram`, `bytes`, …
  public let kind: String
  /// One more than the largest id.
  public let vocabularyCount: Int
  /// The id that begins a text, as the files say.
  public let beginOfText: Int32?
  /// The ids that end a text, as the files say.
  public let endOfText: Set<Int32>
  /// Ids that stand for no text: what `skippingSpecial` skips.
  public let special: Set<Int32>

  let encoding: Encoding
  let decoding: Decoding
  /// Ids put before and behind a text that is encoded with `special`.
  let prefix: [Int32]
  let suffix: [Int32]
  /// Pieces as the files spell them.
  private let pieces: PieceTable
  /// What encoders have met; it changes no result. An encoder that finds it in use goes without.
  let cache = Mutex(WordCache())

  init(_ parts: Parts) {
    kind = parts.kind
    vocabularyCount = parts.pieces.count
    beginOfText = parts.beginOfText
    endOfText = parts.endOfText
    special = parts.special
    encoding = parts.encoding
    decoding = parts.decoding
    prefix = parts.prefix
    suffix = parts.suffix
    pieces = parts.pieces
  }

  /// What a reader of files puts together.
  struct Parts {
    var kind: String
    var pieces: PieceTable
    var encoding: Encoding
    var decoding: Decoding
    var special: Set<Int32> = []
    var beginOfText: Int32?
    var endOfText: Set<Int32> = []
    var prefix: [Int32] = []
    var suffix: [Int32] = []
  }

  /// The vocabulary of the 256 bytes: every byte is the token of its value.
  public static let bytes: Tokenizer = {
    var pieces = PieceTable(count: 256)
    for byte in 0..<256 { pieces.insert([UInt8(byte)], id: Int32(byte)) }
    return Tokenizer(
      Parts(kind: "bytes", pieces: pieces, encoding: Encoding(model: .bytes, cutter: .whole), decoding: .bytes(pieces)))
  }()

  /// The id of a piece as the vocabulary spells it (`Ġthe`, `▁the`), or nil.
  public func id(of piece: String) -> Int32? { pieces.id(of: Array(piece.utf8)) }

  /// The piece of an id as the vocabulary spells it; nil where the id stands for none.
  public func piece(of id: Int32) -> String? { pieces.holds(id) ? String(decoding: pieces[id], as: UTF8.self) : nil }

  /// The bytes that an id decodes to in the middle of a text; none for an id outside of the vocabulary.
  public func bytes(of id: Int32) -> [UInt8] { decoding.bytes(of: id) }

  /// The ids that the files' template puts before a text; empty for most.
  package var beginning: [Int32] { prefix }

  /// Whether every id stands for the same piece in both, so that ids of one can be read by a model of the other. O(vocabulary).
  package func isSame(as other: Tokenizer) -> Bool {
    if self === other { return true }
    guard kind == other.kind, vocabularyCount == other.vocabularyCount, special == other.special else { return false }
    return (0..<Int32(vocabularyCount)).allSatisfy { id in
      pieces.holds(id) == other.pieces.holds(id) && (!pieces.holds(id) || pieces[id].elementsEqual(other.pieces[id]))
    }
  }

  /// The ids of a whole text: what an encoder gives for `push` and `finish`. Linear in the text.
  ///
  /// - Parameter special: puts the ids around the text that the files' template names (begin of text, end of
  ///   text).
  public func encode(_ text: String, special: Bool = false) -> [Int32] { encode(Array(text.utf8), special: special) }

  /// The same for bytes, which need not be UTF-8: bytes that are not pass as they are where the vocabulary
  /// knows bytes, and become U+FFFD elsewhere, one for each maximal part of a scalar.
  public func encode(_ bytes: [UInt8], special: Bool = false) -> [Int32] {
    var encoder = makeEncoder(special: special)
    var pieces: [TokenPiece] = []
    encoder.push(bytes, into: &pieces)
    encoder.finish(into: &pieces)
    return pieces.map(\.id)
  }

  /// The text of whole ids; what is not UTF-8 becomes U+FFFD. Ids outside of the vocabulary stand for
  /// nothing.
  public func decode(_ ids: some Sequence<Int32>, skippingSpecial: Bool = false) -> String {
    var decoder = TokenDecoder(self, skippingSpecial: skippingSpecial, holdsByteRuns: true)
    var text = ""
    for id in ids { text += decoder.push(id) }
    return text + decoder.finish()
  }

  /// An encoder at the start of a stream. O(1).
  ///
  /// - Parameter special: puts the ids around the text that the files' template names.
  public func makeEncoder(special: Bool = false) -> TokenEncoder { TokenEncoder(self, special: special) }

  /// A decoder at the start of a text. O(1).
  ///
  /// - Parameter skippingSpecial: leaves special tokens out of the text.
  public func makeDecoder(skippingSpecial: Bool = true) -> TokenDecoder {
    TokenDecoder(self, skippingSpecial: skippingSpecial, holdsByteRuns: false)
  }
}
