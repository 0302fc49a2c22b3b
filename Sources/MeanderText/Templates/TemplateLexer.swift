import MeanderErrors

/// A template cut into text and tags, as Jinja does with `trim_blocks` and `lstrip_blocks`, which chat templates are written for.
struct TemplateLexer {
  enum Segment: Equatable {
    case text(String)
    /// `{{ … }}`
    case output([Token], line: Int)
    /// `{% … %}`
    case statement([Token], line: Int)
  }

  enum Token: Equatable {
    case name(String)
    case text(String)
    case integer(Int)
    case number(Double)
    case sign(String)
  }

  private let text: [Unicode.Scalar]
  private var place = 0
  private var line = 1
  private var segments: [Segment] = []
  private var pending: [Unicode.Scalar] = []
  /// What the last tag asks of the text behind it.
  private var stripsNext = false
  private var trimsLineEnd = false

  private static let blanks: Set<Unicode.Scalar> = [" ", "\t", "\n", "\r", "\u{0B}", "\u{0C}"]
  /// The longer ones first.
  private static let signs = ["==", "!=", "<=", ">=", "**", "//"] + "+-*/%~<>=()[]{},:.|".map { String($0) }

  static func segments(_ source: String) throws -> [Segment] {
    var lexer = TemplateLexer(source)
    try lexer.run()
    return lexer.segments
  }

  private init(_ source: String) {
    var scalars = Array(source.unicodeScalars)
    // Line ends count as one, and a last one as none.
    scalars = scalars.indices.filter { scalars[$0] != "\r" || $0 + 1 == scalars.count || scalars[$0 + 1] != "\n" }
      .map { scalars[$0] }
    if scalars.last == "\n" { scalars.removeLast() }
    text = scalars
  }

  private func failure(_ what: String) -> MeanderError {
    MeanderError(.badData, "the chat template is not well-formed: \(what)", at: "line \(line)")
  }

  private func holds(_ pattern: String, at place: Int) -> Bool {
    text[min(place, text.count)...].starts(with: pattern.unicodeScalars)
  }

  private mutating func run() throws {
    while place < text.count {
      if holds("{{", at: place) {
        try tag(end: "}}") { .output($0, line: $1) }
      } else if holds("{%", at: place) {
        try tag(end: "%}") { .statement($0, line: $1) }
      } else if holds("{#", at: place) {
        try comment()
      } else {
        if text[place] == "\n" { line += 1 }
        pending.append(text[place])
        place += 1
      }
    }
    flush()
  }

  /// Ends the text before a tag: `strips` all blanks at its end, or where the tag is a statement those that begin its line.
  private mutating func flush(strips: Bool = false, isStatement: Bool = false) {
    if stripsNext { pending = Array(pending.drop { Self.blanks.contains($0) }) }
    if trimsLineEnd, pending.first == "\n" { pending.removeFirst() }
    if strips {
      while let last = pending.last, Self.blanks.contains(last) { pending.removeLast() }
    } else if isStatement {
      let kept = pending.lastIndex { $0 != " " && $0 != "\t" }
      let begins = kept.map { pending[$0] == "\n" } ?? (startsLine || trimsLineEnd)
      if begins { pending.removeLast(pending.count - (kept.map { $0 + 1 } ?? 0)) }
    }
    if !pending.isEmpty { segments.append(.text(String(String.UnicodeScalarView(pending)))) }
    pending = []
    (stripsNext, trimsLineEnd) = (false, false)
  }

  /// Nothing stands before the pending text on its line.
  private var startsLine: Bool { place == pending.count || text[place - pending.count - 1] == "\n" }

  private mutating func tag(end: String, _ make: ([Token], Int) -> Segment) throws {
    let isStatement = end == "%}"
    let strips = holds("-", at: place + 2)
    let keeps = holds("+", at: place + 2)
    flush(strips: strips, isStatement: isStatement && !keeps)
    place += strips || keeps ? 3 : 2
    let start = line
    let tokens = try tokens(until: end)
    if isStatement, tokens == [.name("raw")] {
      throw MeanderError(.unsupported, "the chat template holds 'raw', which is not understood", at: "line \(line)")
    }
    segments.append(make(tokens, start))
    trimsLineEnd = isStatement && !stripsNext
  }

  private mutating func comment() throws {
    flush(strips: holds("-", at: place + 2), isStatement: !holds("-", at: place + 2))
    place += 2
    while place < text.count, !holds("#}", at: place) {
      if text[place] == "\n" { line += 1 }
      place += 1
    }
    guard place < text.count else { throw failure("a comment has no end") }
    stripsNext = text[place - 1] == "-"
    trimsLineEnd = !stripsNext
    place += 2
  }

  private mutating func tokens(until end: String) throws -> [Token] {
    var tokens: [Token] = []
    var depth = 0
    while true {
      while place < text.count, Self.blanks.contains(text[place]) {
        if text[place] == "\n" { line += 1 }
        place += 1
      }
      guard place < text.count else { throw failure("a tag has no end") }
      if depth == 0 {
        if holds(end, at: place) {
          place += 2
          return tokens
        }
        if holds("-" + end, at: place) || holds("+" + end, at: place) {
          stripsNext = text[place] == "-"
          place += 3
          return tokens
        }
      }
      let token = try token()
      if case .sign(let sign) = token {
        if "([{".contains(sign) { depth += 1 }
        if ")]}".contains(sign) { depth -= 1 }
        guard depth >= 0 else { throw failure("'\(sign)' closes nothing") }
      }
      tokens.append(token)
    }
  }

  private mutating func token() throws -> Token {
    let first = text[place]
    if first == "'" || first == "\"" { return .text(try literal(first)) }
    if isDigit(first) { return try number() }
    if isLetter(first) {
      let start = place
      while place < text.count, isLetter(text[place]) || isDigit(text[place]) { place += 1 }
      return .name(String(String.UnicodeScalarView(text[start..<place])))
    }
    guard let sign = Self.signs.first(where: { holds($0, at: place) }) else {
      throw failure("'\(first)' has no meaning in a tag")
    }
    place += sign.unicodeScalars.count
    return .sign(sign)
  }

  private func isDigit(_ scalar: Unicode.Scalar) -> Bool { ("0"..."9").contains(scalar) }
  private func isLetter(_ scalar: Unicode.Scalar) -> Bool { scalar == "_" || scalar.properties.isAlphabetic }

  private mutating func number() throws -> Token {
    let start = place
    while place < text.count, isDigit(text[place]) { place += 1 }
    var isWhole = true
    if place + 1 < text.count, text[place] == ".", isDigit(text[place + 1]) {
      isWhole = false
      place += 1
      while place < text.count, isDigit(text[place]) { place += 1 }
    }
    let digits = String(String.UnicodeScalarView(text[start..<place]))
    if isWhole, let value = Int(digits) { return .integer(value) }
    guard !isWhole, let value = Double(digits) else { throw failure("\(digits) is too large a number") }
    return .number(value)
  }

  private mutating func literal(_ quote: Unicode.Scalar) throws -> String {
    var result = String.UnicodeScalarView()
    place += 1
    while place < text.count, text[place] != quote {
      if text[place] == "\n" { line += 1 }
      if text[place] == "\\", place + 1 < text.count {
        place += 1
        try escape(into: &result)
      } else {
        result.append(text[place])
        place += 1
      }
    }
    guard place < text.count else { throw failure("a string has no end") }
    place += 1
    return String(result)
  }

  private mutating func escape(into result: inout String.UnicodeScalarView) throws {
    let letter = text[place]
    place += 1
    switch letter {
    case "n": result.append("\n")
    case "t": result.append("\t")
    case "r": result.append("\r")
    case "\\", "'", "\"": result.append(letter)
    case "u", "x":
      let count = letter == "u" ? 4 : 2
      let digits = String(String.UnicodeScalarView(text[place..<min(place + count, text.count)]))
      guard digits.unicodeScalars.count == count, let scalar = UInt32(digits, radix: 16).flatMap(Unicode.Scalar.init) else {
        throw failure("\\\(letter)\(digits) is no character")
      }
      result.append(scalar)
      place += count
    case "a", "b", "f", "v", "N", "U", "0"..."7":
      throw MeanderError(
        .unsupported, "the chat template holds '\\\(letter)' in a string, which is not understood", at: "line \(line)")
    default:
      result.append("\\")
      result.append(letter)
    }
  }
}
