/// What a matcher makes of the text: stretches of it, and tokens between them.
enum MatchedPart: Equatable {
  /// The bytes in the range are ordinary text.
  case text(Range<Int>)
  /// A token that ends at `end`.
  case token(id: Int32, end: Int)
}

/// Finds added tokens in a stream, leftmost first and longest of those, as the `tokenizers` library does.
struct TokenMatcher: Sendable, Equatable {
  /// Blanks are held back for a token that takes them along. A run of them is let go as text at every
  /// multiple of this many bytes from where it began, so what is held stays bounded and the places are fixed
  /// by the stream.
  static let mostBlanks = 65_536

  /// The last scalar that was settled, for `isSingleWord`; nil at the beginning.
  var previous: UInt32?
  /// Blanks are being swallowed behind a token.
  var swallowsBlanks = false

  /// Divides `text[start...]`, whole scalars, into parts, and returns the end of what is settled; the rest is
  /// to be offered again with more behind it. With `atEnd` everything is settled.
  mutating func divide(
    _ text: [UInt8], from start: Int, atEnd: Bool, by added: AddedTokens, into parts: inout [MatchedPart]
  ) -> Int {
    var done = start
    var place = start
    /// Where the last match that was no whole word ends: nothing before it is looked at again.
    var floor = start
    var isOpen = false
    while !isOpen {
      place = added.candidate(text, from: place, to: text.count)
      guard place < text.count else { break }
      switch added.match(text, from: place, atEnd: atEnd) {
      case .none: place += 1
      case .open: isOpen = true
      case .found(let index, let end):
        let token = added.tokens[Int(index)]
        if token.isSingleWord {
          guard end < text.count || atEnd else {
            isOpen = true
            continue
          }
          if !isWholeWord(text, place..<end, from: start) {
            place = end
            floor = end
            continue
          }
        }
        release(
          text, &done, upTo: token.stripsLeft ? blanksStart(text, before: place, from: max(done, floor)) : place, &parts
        )
        parts.append(.token(id: token.id, end: end))
        swallowsBlanks = token.stripsRight
        (done, place, floor) = (end, end, end)
      }
    }
    let keepsBlanks = added.anyStripsLeft && !atEnd
    release(text, &done, upTo: keepsBlanks ? blanksStart(text, before: place, from: max(done, floor)) : place, &parts)
    if done > start { previous = readScalar(text, scalarStart(text, before: done, from: start)).value }
    return done
  }

  /// Hands `done..<end` on as text, without the blanks that a token before it swallows.
  private mutating func release(_ text: [UInt8], _ done: inout Int, upTo end: Int, _ parts: inout [MatchedPart]) {
    while swallowsBlanks, done < end {
      let step = readScalar(text, done)
      swallowsBlanks = isBlank(step.value)
      if swallowsBlanks { done += step.length }
    }
    guard done < end else { return }
    parts.append(.text(done..<end))
    done = end
  }

  private func isWholeWord(_ text: [UInt8], _ match: Range<Int>, from start: Int) -> Bool {
    let before = match.lowerBound > start
      ? readScalar(text, scalarStart(text, before: match.lowerBound, from: start)).value : previous
    if let before, ScalarClass.isWord(before) { return false }
    return match.upperBound == text.count || !ScalarClass.isWord(readScalar(text, match.upperBound).value)
  }

  private func isBlank(_ value: UInt32) -> Bool {
    Unicode.Scalar(value)?.properties.isWhitespace ?? false
  }

  /// Where the blanks before `end` start that a token there takes along.
  private func blanksStart(_ text: [UInt8], before end: Int, from start: Int) -> Int {
    var first = end
    while first > start {
      let last = scalarStart(text, before: first, from: start)
      guard isBlank(readScalar(text, last).value) else { break }
      first = last
    }
    var place = first
    while place < end {
      if place - first >= Self.mostBlanks { first = place }
      place += readScalar(text, place).length
    }
    return first
  }
}
