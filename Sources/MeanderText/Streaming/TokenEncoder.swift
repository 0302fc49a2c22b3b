/// Encodes a stream piece by piece, in constant memory.
///
/// However the input is cut, the tokens are those of the whole: what a push gives depends on all bytes so
/// far, not on how they came. What is held back is bounded: at most `WordScanner.longestWord` bytes of a
/// word, after which it is cut, and what an added token or a composed letter may still need. Offsets are
/// 64-bit.
public struct TokenEncoder: Sendable {
  let tokenizer: Tokenizer
  var state: State
  private var scratch = WordScratch()

  /// Everything that is remembered between pushes.
  struct State: Sendable, Equatable {
    var addsSpecial: Bool
    var consumed: Int64 = 0
    var hasStarted = false
    /// Input that is not settled: it could be part of a token, or of a scalar.
    var pending: [UInt8] = []
    var verbatimMatcher = TokenMatcher()
    var normalizing: NormalizerState
    /// Normalized text in which tokens are still to be found.
    var normalized = MappedText()
    var normalizedMatcher = TokenMatcher()
    var stretching: NormalizerState
    /// Text that is to be cut.
    var text = MappedText()
    /// The last token stood for scalars that the vocabulary lacks, and takes those that follow along.
    var isUnknownOpen = false
  }

  private static let slice = 65_536

  init(_ tokenizer: Tokenizer, special: Bool) {
    self.init(tokenizer, State(
      addsSpecial: special,
      normalizing: NormalizerState(tokenizer.encoding.normalizer.steps.count),
      stretching: NormalizerState(tokenizer.encoding.stretches.steps.count)))
  }

  init(_ tokenizer: Tokenizer, _ state: State) {
    self.tokenizer = tokenizer
    self.state = state
  }

  /// How many bytes were pushed, over all.
  public var consumed: Int64 { state.consumed }

  /// Takes more of the input, and appends the tokens that are settled by it.
  ///
  /// Complexity: linear in `bytes`, and in what was held back before.
  public mutating func push(_ bytes: [UInt8], into pieces: inout [TokenPiece]) { push(bytes[...], into: &pieces) }

  /// The same for a part of an array.
  public mutating func push(_ bytes: ArraySlice<UInt8>, into pieces: inout [TokenPiece]) {
    start(&pieces)
    var place = bytes.startIndex
    while place < bytes.endIndex {
      let end = min(place + Self.slice, bytes.endIndex)
      state.pending.append(contentsOf: bytes[place..<end])
      state.consumed += Int64(end - place)
      settle(atEnd: false, &pieces)
      place = end
    }
  }

  /// Ends the text: what was held back is settled. Another push begins another text in the same stream.
  public mutating func finish(into pieces: inout [TokenPiece]) {
    start(&pieces)
    settle(atEnd: true, &pieces)
    if state.addsSpecial { pieces += tokenizer.suffix.map { TokenPiece(id: $0, end: state.consumed) } }
  }

  private mutating func start(_ pieces: inout [TokenPiece]) {
    guard !state.hasStarted else { return }
    state.hasStarted = true
    if state.addsSpecial { pieces += tokenizer.prefix.map { TokenPiece(id: $0, end: 0) } }
  }

  /// Finds the tokens that are matched in the input itself, and passes on what lies between them.
  private mutating func settle(atEnd: Bool, _ pieces: inout [TokenPiece]) {
    let encoding = tokenizer.encoding
    let base = state.consumed - Int64(state.pending.count)
    let tail = atEnd || encoding.readsBytes ? 0 : openTail(state.pending)
    let kept = state.pending.suffix(tail)
    state.pending.removeLast(tail)
    let pending = state.pending
    var done = pending.count
    if encoding.verbatimTokens.isEmpty {
      normalize(pending[...], from: base, &pieces)
    } else {
      var parts: [MatchedPart] = []
      done = state.verbatimMatcher.divide(pending, from: 0, atEnd: atEnd, by: encoding.verbatimTokens, into: &parts)
      for part in parts {
        switch part {
        case .text(let range): normalize(pending[range], from: base + Int64(range.lowerBound), &pieces)
        case .token(let id, let end):
          endText(&pieces)
          pieces.append(TokenPiece(id: id, end: base + Int64(end)))
        }
      }
    }
    if atEnd {
      endText(&pieces)
      state.verbatimMatcher = TokenMatcher()
    }
    state.pending.removeFirst(done)
    state.pending.append(contentsOf: kept)
  }

  /// Normalizes a stretch of the input that holds no token.
  private mutating func normalize(_ bytes: ArraySlice<UInt8>, from start: Int64, _ pieces: inout [TokenPiece]) {
    guard !bytes.isEmpty else { return }
    let encoding = tokenizer.encoding
    if encoding.isVerbatim {
      findTokens(.verbatim(bytes, start), atEnd: false, &pieces)
    } else if encoding.takesAnyBytes && encoding.normalizer.composesOnly {
      compose(bytes, from: start, &pieces)
    } else {
      let units = TextUnit.reading(bytes, from: start, replacingInvalid: !encoding.takesAnyBytes)
      let settled = encoding.normalizer.push(units, atEnd: false, &state.normalizing)
      findTokens(.units(settled), atEnd: false, &pieces)
    }
  }

  /// Composes: runs of ASCII pass as they are, but for the last of them, which a mark could follow.
  private mutating func compose(_ bytes: ArraySlice<UInt8>, from start: Int64, _ pieces: inout [TokenPiece]) {
    let normalizer = tokenizer.encoding.normalizer
    var place = bytes.startIndex
    func offset(_ place: Int) -> Int64 { start + Int64(place - bytes.startIndex) }
    while place < bytes.endIndex {
      var end = place
      while end < bytes.endIndex, bytes[end] < 0x80 { end += 1 }
      if end - place >= 2 {
        let first = TextUnit(value: UInt32(bytes[place]), end: offset(place + 1))
        let settled = normalizer.push([first], atEnd: false, &state.normalizing)
        if !settled.isEmpty { findTokens(.units(settled), atEnd: false, &pieces) }
        findTokens(.verbatim(bytes[place..<end - 1], offset(place)), atEnd: false, &pieces)
        state.normalizing.held[0].units = [TextUnit(value: UInt32(bytes[end - 1]), end: offset(end))]
      } else {
        while end < bytes.endIndex, bytes[end] >= 0x80 || end + 1 == bytes.endIndex || bytes[end + 1] >= 0x80 {
          end += 1
        }
        let units = TextUnit.reading(bytes[place..<end], from: offset(place), replacingInvalid: false)
        findTokens(.units(normalizer.push(units, atEnd: false, &state.normalizing)), atEnd: false, &pieces)
      }
      place = end
    }
  }

  private mutating func endText(_ pieces: inout [TokenPiece]) {
    let rest = tokenizer.encoding.normalizer.push([], atEnd: true, &state.normalizing)
    findTokens(.units(rest), atEnd: true, &pieces)
    state.normalizedMatcher = TokenMatcher()
  }

  private enum Settled {
    case verbatim(ArraySlice<UInt8>, Int64)
    case units([TextUnit])
  }

  /// Finds the tokens that are matched in normalized text, and passes on what lies between them.
  private mutating func findTokens(_ settled: Settled, atEnd: Bool, _ pieces: inout [TokenPiece]) {
    let encoding = tokenizer.encoding
    guard !encoding.normalizedTokens.isEmpty else {
      stretch(settled, atEnd: atEnd, &pieces)
      return
    }
    switch settled {
    case .verbatim(let bytes, let start): state.normalized.append(bytes, from: start)
    case .units(let units): for unit in units { state.normalized.append(unit) }
    }
    let normalized = state.normalized
    var parts: [MatchedPart] = []
    let done = state.normalizedMatcher.divide(
      normalized.bytes, from: 0, atEnd: atEnd, by: encoding.normalizedTokens, into: &parts)
    var cursor = 0
    for part in parts {
      switch part {
      case .text(let range):
        if encoding.stretches.steps.isEmpty {
          state.text.append(normalized, range, &cursor)
          cut(atEnd: false, &pieces)
        } else {
          stretch(.units(normalized.units(range, &cursor)), atEnd: false, &pieces)
        }
      case .token(let id, let end):
        stretch(.units([]), atEnd: true, &pieces)
        pieces.append(TokenPiece(id: id, end: normalized.offset(end, &cursor)))
      }
    }
    if atEnd { stretch(.units([]), atEnd: true, &pieces) }
    state.normalized.removeFirst(done)
  }

  /// Makes of a stretch between tokens what the cutter wants to see.
  private mutating func stretch(_ settled: Settled, atEnd: Bool, _ pieces: inout [TokenPiece]) {
    let stretches = tokenizer.encoding.stretches
    switch settled {
    case .verbatim(let bytes, let start) where stretches.steps.isEmpty: state.text.append(bytes, from: start)
    case .verbatim(let bytes, let start):
      let units = TextUnit.reading(bytes, from: start, replacingInvalid: false)
      for unit in stretches.push(units, atEnd: atEnd, &state.stretching) { state.text.append(unit) }
    case .units(let units):
      for unit in stretches.push(units, atEnd: atEnd, &state.stretching) { state.text.append(unit) }
    }
    cut(atEnd: atEnd, &pieces)
    if atEnd { state.isUnknownOpen = false }
  }

  /// Cuts words off the text and encodes them.
  private mutating func cut(atEnd: Bool, _ pieces: inout [TokenPiece]) {
    guard !state.text.isEmpty else { return }
    let text = state.text
    let done = tokenizer.encoding.encodeWords(
      of: text, atEnd: atEnd, isUnknownOpen: &state.isUnknownOpen, tokenizer.cache, &scratch, into: &pieces)
    state.text.removeFirst(done)
  }
}
