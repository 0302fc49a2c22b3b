import MeanderErrors

/// Statements and expressions out of a template's segments, in Jinja's grammar. What is not understood is refused by name.
struct TemplateParser {
  private let segments: [TemplateLexer.Segment]
  private var index = 0
  private var depth = 0
  private static let deepest = 100

  static func parse(_ source: String) throws -> [TemplateStatement] {
    var parser = TemplateParser(segments: try TemplateLexer.segments(source))
    let (statements, end) = try parser.statements(until: [])
    precondition(end == nil)
    return statements
  }

  private init(segments: [TemplateLexer.Segment]) { self.segments = segments }

  /// Statements up to a tag that begins with one of `ends` (all of the template where there are none), and that tag.
  private mutating func statements(
    until ends: Set<String>
  ) throws -> ([TemplateStatement], end: (word: String, tokens: TemplateTokens)?) {
    depth += 1
    defer { depth -= 1 }
    guard depth < Self.deepest else {
      throw MeanderError(.unsupported, "the chat template nests deeper than \(Self.deepest) statements")
    }
    var result: [TemplateStatement] = []
    while index < segments.count {
      let segment = segments[index]
      index += 1
      switch segment {
      case .text(let text): result.append(.text(text))
      case .output(let tokens, let line):
        var tokens = TemplateTokens(tokens, line: line)
        let expression = try tokens.expression()
        try tokens.end()
        result.append(.output(expression, line: line))
      case .statement(let all, let line):
        var tokens = TemplateTokens(all, line: line)
        guard let word = tokens.takeName() else { throw tokens.malformed("a statement begins with no word") }
        if ends.contains(word) { return (result, (word, tokens)) }
        result.append(try statement(word, &tokens))
      }
    }
    guard ends.isEmpty else {
      throw MeanderError(.badData, "the chat template is not well-formed: \(ends.sorted().joined(separator: " or ")) is missing")
    }
    return (result, nil)
  }

  private mutating func statement(_ word: String, _ tokens: inout TemplateTokens) throws -> TemplateStatement {
    switch word {
    case "if": return try choice(&tokens)
    case "for": return try loop(&tokens)
    case "set": return try assignment(&tokens)
    case "macro": return try macro(&tokens)
    case "generation":
      try tokens.end()
      return .group(try body("endgeneration"))
    case "break":
      try tokens.end()
      return .leaveLoop
    case "continue":
      try tokens.end()
      return .nextRound
    default: throw tokens.unsupported("the statement '\(word)'")
    }
  }

  /// Statements up to the tag `end`, which holds nothing else.
  private mutating func body(_ end: String) throws -> [TemplateStatement] {
    let (body, found) = try statements(until: [end])
    try found?.tokens.end()
    return body
  }

  private mutating func choice(_ tokens: inout TemplateTokens) throws -> TemplateStatement {
    let line = tokens.line
    var branches: [(condition: TemplateExpression, body: [TemplateStatement])] = []
    var condition = try tokens.expression()
    try tokens.end()
    while true {
      let (body, found) = try statements(until: ["elif", "else", "endif"])
      branches.append((condition, body))
      guard var found else { break }
      if found.word == "elif" {
        condition = try found.tokens.expression()
        try found.tokens.end()
        continue
      }
      try found.tokens.end()
      return .choice(branches, otherwise: found.word == "else" ? try self.body("endif") : [], line: line)
    }
    throw tokens.malformed("endif is missing")
  }

  private mutating func loop(_ tokens: inout TemplateTokens) throws -> TemplateStatement {
    let line = tokens.line
    let targets = try tokens.targets()
    guard tokens.take(name: "in") else { throw tokens.malformed("a loop lacks 'in'") }
    let over = try tokens.expression(isIterable: true)
    let condition = tokens.take(name: "if") ? try tokens.expression() : nil
    if tokens.take(name: "recursive") { throw tokens.unsupported("a recursive loop") }
    try tokens.end()
    let (body, found) = try statements(until: ["else", "endfor"])
    var otherwise: [TemplateStatement] = []
    if let found {
      try found.tokens.end()
      if found.word == "else" { otherwise = try self.body("endfor") }
    }
    return .loop(targets: targets, over: over, condition: condition, body: body, otherwise: otherwise, line: line)
  }

  private mutating func assignment(_ tokens: inout TemplateTokens) throws -> TemplateStatement {
    let line = tokens.line
    let targets = try tokens.targets()
    if targets.count == 1, tokens.take(sign: ".") {
      guard let attribute = tokens.takeName(), tokens.take(sign: "=") else {
        throw tokens.malformed("an attribute is set to nothing")
      }
      let value = try tokens.expression()
      try tokens.end()
      return .attributeAssignment(targets[0], attribute: attribute, value, line: line)
    }
    if tokens.take(sign: "=") {
      let value = try tokens.expression()
      try tokens.end()
      return .assignment(targets: targets, value, line: line)
    }
    guard targets.count == 1 else { throw tokens.malformed("several names are set to nothing") }
    try tokens.end()
    return .capture(targets[0], try body("endset"))
  }

  private mutating func macro(_ tokens: inout TemplateTokens) throws -> TemplateStatement {
    guard let name = tokens.takeName(), tokens.take(sign: "(") else { throw tokens.malformed("a macro lacks its name") }
    var parameters: [(name: String, fallback: TemplateExpression?)] = []
    while !tokens.take(sign: ")") {
      guard let parameter = tokens.takeName() else { throw tokens.malformed("a macro's parameter lacks its name") }
      parameters.append((parameter, tokens.take(sign: "=") ? try tokens.expression() : nil))
      if !tokens.take(sign: ","), !tokens.isNext(sign: ")") { throw tokens.malformed("a macro's parameters lack a comma") }
    }
    try tokens.end()
    return .macro(TemplateMacro(name: name, parameters: parameters, body: try body("endmacro")))
  }
}
