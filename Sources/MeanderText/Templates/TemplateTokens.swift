import MeanderErrors

/// The tokens of one tag, read as expressions by Jinja's precedence.
struct TemplateTokens {
  private let tokens: [TemplateLexer.Token]
  let line: Int
  private var place = 0
  private var depth = 0
  private static let deepest = 100

  init(_ tokens: [TemplateLexer.Token], line: Int) {
    self.tokens = tokens
    self.line = line
  }

  func malformed(_ what: String) -> MeanderError {
    MeanderError(.badData, "the chat template is not well-formed: \(what)", at: "line \(line)")
  }

  func unsupported(_ what: String) -> MeanderError {
    MeanderError(.unsupported, "the chat template holds \(what), which is not understood", at: "line \(line)")
  }

  private var next: TemplateLexer.Token? { place < tokens.count ? tokens[place] : nil }

  func isNext(sign: String) -> Bool { next == .sign(sign) }

  mutating func take(sign: String) -> Bool { take(.sign(sign)) }
  mutating func take(name: String) -> Bool { take(.name(name)) }

  private mutating func take(_ token: TemplateLexer.Token) -> Bool {
    guard next == token else { return false }
    place += 1
    return true
  }

  mutating func takeName() -> String? {
    guard case .name(let name)? = next else { return nil }
    place += 1
    return name
  }

  /// Throws unless all tokens were read.
  func end() throws {
    guard place == tokens.count else { throw malformed("there is something after the end of an expression") }
  }

  /// Names that are given values: one, or several with commas between them.
  mutating func targets() throws -> [String] {
    var names: [String] = []
    let isEnclosed = take(sign: "(")
    repeat {
      guard let name = takeName() else { throw malformed("a name is missing") }
      names.append(name)
    } while take(sign: ",")
    if isEnclosed, !take(sign: ")") { throw malformed("')' is missing") }
    return names
  }

  /// - Parameter isIterable: the expression ends at an `if`, which belongs to the loop.
  mutating func expression(isIterable: Bool = false) throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { throw unsupported("expressions nested deeper than \(Self.deepest)") }
    let value = try disjunction()
    guard !isIterable, take(name: "if") else { return value }
    let condition = try disjunction()
    return .conditional(condition: condition, then: value, otherwise: take(name: "else") ? try expression() : nil)
  }

  private mutating func disjunction() throws -> TemplateExpression {
    var left = try conjunction()
    while take(name: "or") { left = .or(left, try conjunction()) }
    return left
  }

  private mutating func conjunction() throws -> TemplateExpression {
    var left = try negation()
    while take(name: "and") { left = .and(left, try negation()) }
    return left
  }

  private mutating func negation() throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { throw unsupported("expressions nested deeper than \(Self.deepest)") }
    return take(name: "not") ? .not(try negation()) : try comparison()
  }

  private mutating func comparison() throws -> TemplateExpression {
    let first = try sum()
    var left = first
    var count = 0
    while true {
      var sign: String?
      for candidate in ["==", "!=", "<=", ">=", "<", ">"] where take(sign: candidate) { sign = candidate; break }
      if sign == nil, take(name: "in") { sign = "in" }
      if sign == nil, next == .name("not"), place + 1 < tokens.count, tokens[place + 1] == .name("in") {
        place += 2
        sign = "not in"
      }
      guard let sign else { return left }
      count += 1
      // Jinja reads a < b < c as two comparisons of b.
      if count > 1 { throw unsupported("a chain of comparisons") }
      left = .binary(sign, left, try sum())
    }
  }

  private mutating func sum() throws -> TemplateExpression {
    try chain(["+", "-"]) { try $0.chain(["~"]) { try $0.chain(["*", "//", "/", "%"]) { try $0.power() } } }
  }

  private mutating func chain(
    _ signs: [String], _ operand: (inout TemplateTokens) throws -> TemplateExpression
  ) throws -> TemplateExpression {
    var left = try operand(&self)
    while let sign = signs.first(where: { next == .sign($0) }) {
      place += 1
      left = .binary(sign, left, try operand(&self))
    }
    return left
  }

  private mutating func power() throws -> TemplateExpression {
    let left = try unary()
    if take(sign: "**") { throw unsupported("'**'") }
    return left
  }

  private mutating func unary() throws -> TemplateExpression {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else { throw unsupported("expressions nested deeper than \(Self.deepest)") }
    if take(sign: "-") { return try filtered(.negative(try operand(isUnary: true))) }
    if take(sign: "+") { throw unsupported("a '+' before a number") }
    return try filtered(try operand())
  }

  /// A primary with what follows it, without filters.
  private mutating func operand(isUnary: Bool = false) throws -> TemplateExpression {
    if isUnary, take(sign: "-") { throw unsupported("two signs before a number") }
    return try postfixed(try primary())
  }

  private mutating func primary() throws -> TemplateExpression {
    guard let token = next else { throw malformed("an expression is missing") }
    place += 1
    switch token {
    case .integer(let value): return .literal(.integer(value))
    case .number(let value): return .literal(.number(value))
    case .text(var text):
      // Strings side by side are one.
      while case .text(let more)? = next {
        text += more
        place += 1
      }
      return .literal(.text(text))
    case .name(let name):
      switch name {
      case "true", "True": return .literal(.bool(true))
      case "false", "False": return .literal(.bool(false))
      case "none", "None": return .literal(.none)
      case "and", "or", "not", "if", "else", "in", "is": throw malformed("'\(name)' stands where a value should")
      default: return .name(name)
      }
    case .sign("("):
      if take(sign: ")") { return .list([]) }
      let first = try expression()
      guard isNext(sign: ",") else {
        guard take(sign: ")") else { throw malformed("')' is missing") }
        return first
      }
      var items = [first]
      while take(sign: ",") { if !isNext(sign: ")") { items.append(try expression()) } }
      guard take(sign: ")") else { throw malformed("')' is missing") }
      return .list(items)
    case .sign("["): return .list(try items("]"))
    case .sign("{"): return .dictionary(try pairs())
    case .sign(let sign): throw malformed("'\(sign)' stands where a value should")
    }
  }

  private mutating func items(_ end: String) throws -> [TemplateExpression] {
    var items: [TemplateExpression] = []
    while !take(sign: end) {
      items.append(try expression())
      guard take(sign: ",") || isNext(sign: end) else { throw malformed("'\(end)' is missing") }
    }
    return items
  }

  private mutating func pairs() throws -> [(TemplateExpression, TemplateExpression)] {
    var pairs: [(TemplateExpression, TemplateExpression)] = []
    while !take(sign: "}") {
      let key = try expression()
      guard take(sign: ":") else { throw malformed("':' is missing") }
      pairs.append((key, try expression()))
      guard take(sign: ",") || isNext(sign: "}") else { throw malformed("'}' is missing") }
    }
    return pairs
  }

  private mutating func postfixed(_ value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while true {
      if take(sign: ".") {
        if case .integer(let index)? = next {
          place += 1
          value = .item(value, .literal(.integer(index)))
        } else {
          guard let name = takeName() else { throw malformed("an attribute lacks its name") }
          value = .attribute(value, name)
        }
      } else if take(sign: "[") {
        value = try subscripted(value)
      } else if take(sign: "(") {
        value = .call(value, try arguments())
      } else {
        return value
      }
    }
  }

  private mutating func subscripted(_ value: TemplateExpression) throws -> TemplateExpression {
    var parts: [TemplateExpression?] = [nil]
    while !take(sign: "]") {
      if take(sign: ":") {
        parts.append(nil)
      } else {
        guard parts[parts.count - 1] == nil, parts.count <= 3 else { throw malformed("']' is missing") }
        parts[parts.count - 1] = try expression()
      }
    }
    guard parts.count > 1 else {
      guard let index = parts[0] else { throw malformed("an index is missing") }
      return .item(value, index)
    }
    guard parts.count <= 3 else { throw malformed("a slice has too many parts") }
    return .slice(value, parts[0], parts[1], parts.count > 2 ? parts[2] : nil)
  }

  private mutating func arguments() throws -> TemplateArguments {
    var arguments = TemplateArguments()
    while !take(sign: ")") {
      if isNext(sign: "*") || isNext(sign: "**") { throw unsupported("arguments unpacked by '*'") }
      if case .name(let name)? = next, place + 1 < tokens.count, tokens[place + 1] == .sign("=") {
        place += 2
        arguments.named.append((name, try expression()))
      } else {
        guard arguments.named.isEmpty else { throw malformed("an argument without a name follows one that has one") }
        arguments.values.append(try expression())
      }
      guard take(sign: ",") || isNext(sign: ")") else { throw malformed("')' is missing") }
    }
    return arguments
  }

  private mutating func filtered(_ value: TemplateExpression) throws -> TemplateExpression {
    var value = value
    while true {
      if take(sign: "|") {
        guard let name = takeName() else { throw malformed("a filter lacks its name") }
        value = .filter(value, name, take(sign: "(") ? try arguments() : TemplateArguments())
      } else if take(name: "is") {
        let isNegated = take(name: "not")
        guard let name = takeName() else { throw malformed("a test lacks its name") }
        value = .test(value, name, try testArguments(), isNegated: isNegated)
      } else {
        return value
      }
    }
  }

  private mutating func testArguments() throws -> [TemplateExpression] {
    if take(sign: "(") {
      let arguments = try arguments()
      guard arguments.named.isEmpty else { throw unsupported("a test with named arguments") }
      return arguments.values
    }
    switch next {
    case .name(let name) where !["and", "or", "not", "if", "else", "is", "in"].contains(name): return [try operand()]
    case .text, .integer, .number, .sign("["), .sign("{"): return [try operand()]
    default: return []
    }
  }
}
