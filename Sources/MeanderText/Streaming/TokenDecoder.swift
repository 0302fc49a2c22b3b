/// What ids decode to, and how their pieces are joined.
enum Decoding: Sendable {
  /// Bytes, one piece's after the other.
  case bytes(PieceTable)
  /// Text in which `▁` became a space, with pieces that stand for single bytes among it.
  case text(TextPieces)

  func bytes(of id: Int32) -> [UInt8] {
    switch self {
    case .bytes(let pieces): Array(pieces[id])
    case .text(let text):
      if let byte = text.byte(of: id) { [byte] } else { Array(text.pieces[id]) }
    }
  }
}

/// The pieces of a vocabulary that came from sentencepiece, as they read in the middle of a text.
struct TextPieces: Sendable {
  /// What is dropped at the beginning of a text.
  enum Beginning: Sendable, Equatable {
    case nothing
    /// One space that the text begins with.
    case oneSpace
    /// All that stood for `▁` in the first piece.
    case marksOfFirstPiece
    /// As sentencepiece: of each piece the `▁` it begins with, while the text is still empty; of the first
    /// such only, where the model keeps runs of spaces.
    case leadingMarks(keepsRuns: Bool)
  }

  var pieces: PieceTable
  /// The ids of the single bytes' pieces, in order of their value; empty where there are none.
  var byteIDs: [Int32: UInt8] = [:]
  var beginning: Beginning
  /// Ids whose piece begins with, or holds, a `▁`.
  var marked: Set<Int32> = []
  /// A space that is put before every piece but the first, where the files name no decoder.
  var separator: [UInt8] = []

  func byte(of id: Int32) -> UInt8? { byteIDs[id] }
}

/// Decodes ids one by one; text comes out only as whole scalars. Memory is constant.
public struct TokenDecoder: Sendable {
  let tokenizer: Tokenizer
  var state: State

  /// Everything that is remembered between pushes.
  struct State: Sendable, Equatable {
    var skipsSpecial: Bool
    /// A run of byte pieces that is no UTF-8 becomes U+FFFD byte by byte, so all of it is awaited (whole
    /// texts only).
    var holdsByteRuns: Bool
    /// Bytes that are not whole scalars yet.
    var held: [UInt8] = []
    /// `held` came from pieces that stand for single bytes.
    var isByteRun = false
    /// Nothing has been decoded so far; nothing has been put out so far.
    var isFirst = true
    var isEmpty = true
  }

  init(_ tokenizer: Tokenizer, skippingSpecial: Bool, holdsByteRuns: Bool) {
    self.init(tokenizer, State(skipsSpecial: skippingSpecial, holdsByteRuns: holdsByteRuns))
  }

  init(_ tokenizer: Tokenizer, _ state: State) {
    self.tokenizer = tokenizer
    self.state = state
  }

  /// The text that `id` makes whole; often none.
  public mutating func push(_ id: Int32) -> String {
    if state.skipsSpecial && tokenizer.special.contains(id) { return "" }
    switch tokenizer.decoding {
    case .bytes(let pieces):
      state.held += pieces[id]
      return takeWhole()
    case .text(let text):
      return withoutFirstSpace(push(id, text))
    }
  }

  /// What is left: a scalar that never became whole reads U+FFFD.
  public mutating func finish() -> String {
    let text = withoutFirstSpace(endByteRun() + String(decoding: state.held, as: UTF8.self))
    state = State(skipsSpecial: state.skipsSpecial, holdsByteRuns: state.holdsByteRuns)
    return text
  }

  private mutating func push(_ id: Int32, _ text: TextPieces) -> String {
    defer { state.isFirst = false }
    if let byte = text.byte(of: id) {
      let before = state.isByteRun ? "" : takeWhole()
      state.isByteRun = true
      if text.beginning != .oneSpace { state.isEmpty = false }
      state.held.append(byte)
      return state.holdsByteRuns ? before : before + takeWhole()
    }
    let before = endByteRun()
    var piece = text.pieces[id]
    switch text.beginning {
    case .nothing, .oneSpace: break
    case .marksOfFirstPiece:
      if state.isFirst && text.marked.contains(id) { piece = ArraySlice(piece.filter { $0 != 0x20 }) }
    case .leadingMarks(let keepsRuns):
      if state.isEmpty && text.marked.contains(id) {
        piece = piece.dropFirst()
        if keepsRuns { state.isEmpty = false }
      }
      if !piece.isEmpty { state.isEmpty = false }
    }
    if !text.separator.isEmpty && !state.isFirst { piece = ArraySlice(text.separator + piece) }
    return before + String(decoding: piece, as: UTF8.self)
  }

  /// Drops the space that a text begins with, where the files say so.
  private mutating func withoutFirstSpace(_ text: String) -> String {
    guard case .text(let pieces) = tokenizer.decoding, pieces.beginning == .oneSpace, state.isEmpty, !text.isEmpty
    else { return text }
    state.isEmpty = false
    return text.unicodeScalars.first == " " ? String(text.unicodeScalars.dropFirst()) : text
  }

  /// Takes all of `held` but a tail that could still become a scalar.
  private mutating func takeWhole() -> String {
    let tail = openTail(state.held)
    let whole = String(decoding: state.held.dropLast(tail), as: UTF8.self)
    state.held.removeFirst(state.held.count - tail)
    return whole
  }

  /// Ends a run of byte pieces: all of it is text, or none.
  private mutating func endByteRun() -> String {
    guard state.isByteRun else { return "" }
    defer {
      state.isByteRun = false
      state.held = []
    }
    if let text = String(validating: state.held, as: UTF8.self) { return text }
    return String(repeating: "\u{FFFD}", count: state.held.count)
  }
}
