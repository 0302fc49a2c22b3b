import MeanderErrors

/// Recursive descent over the bytes of one document. Every offset in a message counts from the file's start.
struct JSONParser {
  let path: String
  /// Where in the file the document starts.
  var origin = 0
  private var position = 0
  private var depth = 0
  private var scratch: [UInt8] = []

  private static let deepest = 128
  // A number longer than this says nothing that a double could hold.
  private static let longestNumber = 1024

  init(path: String, origin: Int = 0) {
    self.path = path
    self.origin = origin
  }

  mutating func document(_ text: RawSpan) throws -> JSON {
    let value = try value(text)
    skipSpace(text)
    guard position == text.byteCount else {
      throw failure("there is something after the end of the document")
    }
    return value
  }

  private func failure(_ what: String, at offset: Int? = nil) -> MeanderError {
    MeanderError(.badData, "this is not JSON: \(what)", at: "\(path), byte \(origin + (offset ?? position))")
  }

  private mutating func skipSpace(_ text: RawSpan) {
    while position < text.byteCount {
      switch text.byte(position) {
      case 0x20, 0x0A, 0x0D, 0x09: position += 1
      default: return
      }
    }
  }

  /// The next byte that is no space, not yet consumed; nil at the end.
  private mutating func peek(_ text: RawSpan) -> UInt8? {
    skipSpace(text)
    return position < text.byteCount ? text.byte(position) : nil
  }

  private mutating func value(_ text: RawSpan) throws -> JSON {
    guard let byte = peek(text) else { throw failure("it ends where a value should stand") }
    switch byte {
    case UInt8(ascii: "{"): return try nested(text) { try $0.object($1) }
    case UInt8(ascii: "["): return try nested(text) { try $0.array($1) }
    case UInt8(ascii: "\""): return .string(try string(text))
    case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number(text)
    default: return try word(text)
    }
  }

  private mutating func nested(
    _ text: RawSpan, _ body: (inout JSONParser, RawSpan) throws -> JSON
  ) throws -> JSON {
    guard depth < Self.deepest else { throw failure("values are nested more than \(Self.deepest) deep") }
    depth += 1
    position += 1
    let value = try body(&self, text)
    depth -= 1
    return value
  }

  private mutating func object(_ text: RawSpan) throws -> JSON {
    var object = JSONObject()
    if peek(text) == UInt8(ascii: "}") {
      position += 1
      return .object(object)
    }
    while true {
      guard peek(text) == UInt8(ascii: "\"") else { throw failure("a key must be a string") }
      let start = position
      let key = try string(text)
      guard peek(text) == UInt8(ascii: ":") else { throw failure("a colon must follow the key '\(key)'") }
      position += 1
      guard object.append(key, try value(text)) else {
        throw failure("the key '\(key)' stands twice", at: start)
      }
      if try !comma(text, orEnd: UInt8(ascii: "}")) { return .object(object) }
    }
  }

  private mutating func array(_ text: RawSpan) throws -> JSON {
    var values: [JSON] = []
    if peek(text) == UInt8(ascii: "]") {
      position += 1
      return .array(values)
    }
    while true {
      values.append(try value(text))
      if try !comma(text, orEnd: UInt8(ascii: "]")) { return .array(values) }
    }
  }

  /// Consumes a comma (true) or the closing `end` (false).
  private mutating func comma(_ text: RawSpan, orEnd end: UInt8) throws -> Bool {
    switch peek(text) {
    case UInt8(ascii: ","):
      position += 1
      return true
    case end:
      position += 1
      return false
    default:
      throw failure("a comma or '\(Character(Unicode.Scalar(end)))' must stand here")
    }
  }

  private mutating func word(_ text: RawSpan) throws -> JSON {
    let words: [(StaticString, JSON)] = [
      ("true", .bool(true)), ("false", .bool(false)), ("null", .null), ("Infinity", JSON(Double.infinity)),
      ("NaN", JSON(Double.nan)),
    ]
    for (word, value) in words where follows(word, text) { return value }
    throw failure("no value starts here")
  }

  private mutating func follows(_ word: StaticString, _ text: RawSpan) -> Bool {
    let count = word.utf8CodeUnitCount
    guard count <= text.byteCount - position else { return false }
    // Safe: a static string's bytes are constants, read up to their own count.
    let same = (0..<count).allSatisfy { text.byte(position + $0) == word.utf8Start[$0] }
    if same { position += count }
    return same
  }

  private mutating func number(_ text: RawSpan) throws -> JSON {
    let start = position
    let negative = text.byte(position) == UInt8(ascii: "-")
    if negative { position += 1 }
    if follows("Infinity", text) { return JSON(negative ? -Double.infinity : .infinity) }
    let leadingZero = position < text.byteCount && text.byte(position) == UInt8(ascii: "0")
    var magnitude = 0
    var fits = true
    var digits = 0
    while position < text.byteCount, case let digit = text.byte(position) &- UInt8(ascii: "0"), digit < 10 {
      let (tens, past) = magnitude.multipliedReportingOverflow(by: 10)
      let (sum, beyond) =
        negative ? tens.subtractingReportingOverflow(Int(digit)) : tens.addingReportingOverflow(Int(digit))
      magnitude = sum
      fits = fits && !past && !beyond
      digits += 1
      position += 1
    }
    guard digits > 0, !leadingZero || digits == 1 else { throw failure("this is no number", at: start) }
    let whole = try !fraction(text) && fits
    // -0 is a double: an integer has no such value.
    if whole && !(negative && magnitude == 0) { return JSON(magnitude) }
    guard position - start <= Self.longestNumber else {
      throw failure("a number of too many digits", at: start)
    }
    guard let literal = text.text(start..<position), let value = Double(literal) else {
      throw failure("this is no number", at: start)
    }
    return JSON(value)
  }

  /// Consumes a fraction and an exponent; false where there is neither.
  private mutating func fraction(_ text: RawSpan) throws -> Bool {
    let start = position
    if position < text.byteCount, text.byte(position) == UInt8(ascii: ".") {
      position += 1
      try digits(text)
    }
    if position < text.byteCount, text.byte(position) | 0x20 == UInt8(ascii: "e") {
      position += 1
      if position < text.byteCount, [UInt8(ascii: "+"), UInt8(ascii: "-")].contains(text.byte(position)) {
        position += 1
      }
      try digits(text)
    }
    return position > start
  }

  private mutating func digits(_ text: RawSpan) throws {
    let start = position
    while position < text.byteCount, text.byte(position) &- UInt8(ascii: "0") < 10 { position += 1 }
    if position == start { throw failure("a digit must stand here") }
  }

  private mutating func string(_ text: RawSpan) throws -> String {
    position += 1
    let start = position
    while position < text.byteCount {
      let byte = text.byte(position)
      if byte == UInt8(ascii: "\"") {
        defer { position += 1 }
        guard let string = text.text(start..<position) else {
          throw failure("the string is not UTF-8", at: start)
        }
        return string
      }
      if byte == UInt8(ascii: "\\") { return try escapedString(text, from: start) }
      if byte < 0x20 { throw failure("a control character must be written as an escape") }
      position += 1
    }
    throw failure("the string does not end", at: start - 1)
  }

  /// The string from `start`, whose first escape stands at `position`.
  private mutating func escapedString(_ text: RawSpan, from start: Int) throws -> String {
    scratch.removeAll(keepingCapacity: true)
    var copied = start
    while position < text.byteCount {
      let byte = text.byte(position)
      if byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") {
        // Safe: extracting checks the range, and the bytes are copied inside the call.
        text.extracting(copied..<position).withUnsafeBytes { scratch.append(contentsOf: $0) }
        position += 1
        if byte == UInt8(ascii: "\"") {
          guard let string = scratch.span.bytes.text(0..<scratch.count) else {
            throw failure("the string is not UTF-8", at: start)
          }
          return string
        }
        try escape(text)
        copied = position
      } else if byte < 0x20 {
        throw failure("a control character must be written as an escape")
      } else {
        position += 1
      }
    }
    throw failure("the string does not end", at: start - 1)
  }

  /// Appends what the escape after a backslash stands for to `scratch`.
  private mutating func escape(_ text: RawSpan) throws {
    guard position < text.byteCount else { throw failure("the string does not end") }
    let letter = text.byte(position)
    position += 1
    switch letter {
    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): scratch.append(letter)
    case UInt8(ascii: "b"): scratch.append(0x08)
    case UInt8(ascii: "f"): scratch.append(0x0C)
    case UInt8(ascii: "n"): scratch.append(0x0A)
    case UInt8(ascii: "r"): scratch.append(0x0D)
    case UInt8(ascii: "t"): scratch.append(0x09)
    case UInt8(ascii: "u"):
      var code = UInt32(try hexadecimal(text))
      if 0xD800..<0xDC00 ~= code, position + 1 < text.byteCount, text.byte(position) == UInt8(ascii: "\\"),
        text.byte(position + 1) == UInt8(ascii: "u")
      {
        position += 2
        let low = UInt32(try hexadecimal(text))
        guard 0xDC00..<0xE000 ~= low else {
          throw failure("a high surrogate without its low one", at: position - 12)
        }
        code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
      }
      guard let scalar = Unicode.Scalar(code) else { throw failure("a lone surrogate", at: position - 6) }
      for unit in scalar.utf8 { scratch.append(unit) }
    default:
      throw failure("there is no such escape", at: position - 2)
    }
  }

  private mutating func hexadecimal(_ text: RawSpan) throws -> UInt16 {
    var code: UInt16 = 0
    for _ in 0..<4 {
      guard position < text.byteCount, let digit = Self.hexadecimalDigit(text.byte(position)) else {
        throw failure("four hexadecimal digits must stand here")
      }
      code = code << 4 | digit
      position += 1
    }
    return code
  }

  private static func hexadecimalDigit(_ byte: UInt8) -> UInt16? {
    switch byte {
    case UInt8(ascii: "0")...UInt8(ascii: "9"): UInt16(byte - UInt8(ascii: "0"))
    case UInt8(ascii: "a")...UInt8(ascii: "f"): UInt16(byte - UInt8(ascii: "a") + 10)
    case UInt8(ascii: "A")...UInt8(ascii: "F"): UInt16(byte - UInt8(ascii: "A") + 10)
    default: nil
    }
  }
}
