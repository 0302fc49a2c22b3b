/// Finds where words end, by a `SplitRule`.
struct WordScanner: Sendable {
  /// A word longer than this is cut here, counted from its beginning (back to the beginning of a scalar): so
  /// the cut is fixed by the stream, and a word of any length needs this much memory.
  static let longestWord = 65_536

  let rule: SplitRule
  private let classes: [ScalarClass]
  private let letters: ScalarClass
  private let others: ScalarClass

  init(_ rule: SplitRule) {
    self.rule = rule
    letters = rule.marksAreLetters ? [.letter, .mark] : .letter
    others = rule.marksAreLetters ? .other : [.other, .mark]
    classes = ScalarClass.ofPlaneZero
  }

  /// The end of the word that starts at `start`, or nil while the text so far leaves it open.
  ///
  /// `text` holds whole scalars (or bytes that are none); `start` lies before its end.
  func end(_ text: [UInt8], from start: Int, atEnd: Bool) -> Int? {
    let bound = wordBound(text, from: start)
    let scan = Scan(text: text, limit: bound.limit, isFinal: atEnd || bound.isCut)
    let first = scalarClass(text, start)
    if text[start] == UInt8(ascii: "'") {
      switch contraction(scan, start) {
      case .some(let end?): return end
      case .some(nil): return nil
      case .none: break
      }
    }
    if !first.isSubset(of: letters), let end = prefixedWord(scan, start, first) {
      return end < 0 ? nil : end
    }
    if first.isSubset(of: letters) { return scan.close(skip(scan, start, letters)) }
    if first == .number { return numberEnd(scan, start) }
    if first.isSubset(of: others) { return signsEnd(scan, start) }
    return spaceEnd(scan, start)
  }

  private struct Scan {
    let text: [UInt8]
    let limit: Int
    /// Nothing that comes after `limit` belongs to the word.
    let isFinal: Bool

    /// A run that reaches the limit is open, unless nothing more can come.
    func close(_ end: Int) -> Int? { end == limit && !isFinal ? nil : end }
  }

  @inline(__always)
  private func scalarClass(_ text: [UInt8], _ place: Int) -> ScalarClass {
    let byte = text[place]
    return byte < 0x80 ? classes[Int(byte)] : longClass(text, place).0
  }

  private func longClass(_ text: [UInt8], _ place: Int) -> (ScalarClass, Int) {
    let step = readScalar(text, place)
    if step.value < 0x1_0000 { return (classes[Int(step.value)], step.length) }
    return (Unicode.Scalar(step.value).map { ScalarClass(of: $0) } ?? .other, step.length)
  }

  @inline(__always)
  private func skip(_ scan: Scan, _ start: Int, _ members: ScalarClass) -> Int {
    var place = start
    while place < scan.limit {
      let byte = scan.text[place]
      if byte < 0x80 {
        guard classes[Int(byte)].isSubset(of: members) else { return place }
        place += 1
      } else {
        let (found, length) = longClass(scan.text, place)
        guard found.isSubset(of: members) else { return place }
        place += length
      }
    }
    return min(place, scan.limit)
  }

  /// `'s 't 're 've 'm 'll 'd`: nil where there is none, `.some(nil)` while it is open.
  private func contraction(_ scan: Scan, _ start: Int) -> Int?? {
    guard start + 1 < scan.limit else { return scan.isFinal ? .none : .some(nil) }
    let first = folded(scan, start + 1)
    if first.letter == 0 { return .none }
    let next = start + 1 + first.length
    let second: UInt8
    switch first.letter {
    case UInt8(ascii: "s"), UInt8(ascii: "t"), UInt8(ascii: "m"), UInt8(ascii: "d"): return .some(next)
    case UInt8(ascii: "r"), UInt8(ascii: "v"): second = UInt8(ascii: "e")
    case UInt8(ascii: "l"): second = UInt8(ascii: "l")
    default: return .none
    }
    guard next < scan.limit else { return scan.isFinal ? .none : .some(nil) }
    return folded(scan, next).letter == second ? .some(next + 1) : .none
  }

  /// A letter as contractions compare it; the modern rules fold case, in which U+017F is an s.
  private func folded(_ scan: Scan, _ place: Int) -> (letter: UInt8, length: Int) {
    let byte = scan.text[place]
    guard rule.isModern else { return (byte, 1) }
    if byte == 0xC5, place + 1 < scan.limit, scan.text[place + 1] == 0xBF { return (UInt8(ascii: "s"), 2) }
    return (byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte, 1)
  }

  /// A word behind one other scalar: `␣?\p{L}+`, `␣?\p{N}+`, `␣?[^\s\p{L}\p{N}]+`,
  /// `[^\r\n\p{L}\p{N}]?\p{L}+`. Nil where there is none, negative while it is open.
  private func prefixedWord(_ scan: Scan, _ start: Int, _ first: ScalarClass) -> Int? {
    let isSpace = scan.text[start] == 0x20
    guard isSpace || (rule.isModern && first != .number && first != .newline) else { return nil }
    let next = start + readScalar(scan.text, start).length
    guard next < scan.limit else { return scan.isFinal ? nil : -1 }
    let second = scalarClass(scan.text, next)
    if second.isSubset(of: letters) { return scan.close(skip(scan, next, letters)) ?? -1 }
    guard isSpace else { return nil }
    if second == .number, rule.numbers == .runs { return scan.close(skip(scan, next, .number)) ?? -1 }
    return second.isSubset(of: others) ? signsEnd(scan, next) ?? -1 : nil
  }

  private func numberEnd(_ scan: Scan, _ start: Int) -> Int? {
    let most: Int
    switch rule.numbers {
    case .runs: return scan.close(skip(scan, start, .number))
    case .groups(let count): most = count
    case .isolated: most = 1
    }
    var place = start
    for _ in 0..<most {
      guard place < scan.limit else { return scan.isFinal ? place : nil }
      guard scalarClass(scan.text, place) == .number else { return place }
      place += readScalar(scan.text, place).length
    }
    return place
  }

  private func signsEnd(_ scan: Scan, _ start: Int) -> Int? {
    let signs = skip(scan, start, others)
    return scan.close(rule.isModern ? skip(scan, signs, .newline) : signs)
  }

  /// `\s*[\r\n]+|\s+(?!\S)|\s+`: up to the last line end; else the run but for its last scalar, if a word
  /// follows it.
  private func spaceEnd(_ scan: Scan, _ start: Int) -> Int? {
    let end = skip(scan, start, .space)
    if end == scan.limit && !scan.isFinal { return nil }
    if rule.isModern, let line = scan.text[start..<end].lastIndex(where: { $0 == 0x0A || $0 == 0x0D }) {
      return line + 1
    }
    if end == scan.limit { return end }
    if rule.numbers == .isolated, scalarClass(scan.text, end) == .number { return end }
    let last = scalarStart(scan.text, before: end, from: start)
    return last > start ? last : end
  }
}

/// How far a word that starts at `start` may reach, and whether a longer one is cut there.
func wordBound(_ text: [UInt8], from start: Int) -> (limit: Int, isCut: Bool) {
  guard text.count - start > WordScanner.longestWord else { return (text.count, false) }
  let bound = start + WordScanner.longestWord
  guard text[bound] & 0xC0 == 0x80 else { return (bound, true) }
  let last = scalarStart(text, before: bound + 1, from: start)
  return (last + readScalar(text, last).length > bound ? last : bound, true)
}

/// Where the scalar that ends at `end` starts.
func scalarStart(_ text: [UInt8], before end: Int, from start: Int) -> Int {
  for place in stride(from: end - 1, through: max(start, end - 4), by: -1) where text[place] & 0xC0 != 0x80 {
    return place + readScalar(text, place).length >= end ? place : end - 1
  }
  return end - 1
}
