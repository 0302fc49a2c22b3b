import MeanderErrors

/// One rendering of a template. What is not understood ends it by name, and so does more work than any chat needs.
struct TemplateRun {
  private(set) var output = ""
  private var scopes: [[String: TemplateValue]]
  /// What names stand for where nothing else is set.
  private let globals: [String: TemplateValue]
  private var steps = 0
  private var calls = 0
  private(set) var line = 1
  let date: TemplateDate

  private static let mostSteps = 4_000_000
  private static let longestOutput = 64 << 20
  static let longestRange = 100_000
  static let longestText = 16 << 20

  private enum Flow { case onward, leaves, continues }

  init(globals: [String: TemplateValue], date: TemplateDate) {
    self.globals = globals
    self.date = date
    scopes = [[:]]
  }

  func unsupported(_ what: String) -> MeanderError {
    MeanderError(.unsupported, "the chat template asks for \(what), which is not understood", at: "line \(line)")
  }

  func wrong(_ what: String) -> MeanderError {
    MeanderError(.badData, "the chat template fails: \(what)", at: "line \(line)")
  }

  private mutating func step() throws {
    steps += 1
    guard steps <= Self.mostSteps, output.utf8.count <= Self.longestOutput else {
      throw MeanderError(.limit, "the chat template does more work than \(Self.mostSteps) steps", at: "line \(line)")
    }
  }

  mutating func run(_ statements: [TemplateStatement]) throws {
    guard case .onward = try perform(statements) else { throw wrong("'break' or 'continue' stands outside of a loop") }
  }

  private mutating func perform(_ statements: [TemplateStatement]) throws -> Flow {
    for statement in statements {
      try step()
      let flow = try perform(statement)
      if flow != .onward { return flow }
    }
    return .onward
  }

  private mutating func perform(_ statement: TemplateStatement) throws -> Flow {
    switch statement {
    case .text(let text): output += text
    case .output(let expression, let line):
      self.line = line
      output += try printed(value(expression))
    case .choice(let branches, let otherwise, let line):
      for branch in branches {
        self.line = line
        if try value(branch.condition).isTrue { return try perform(branch.body) }
      }
      return try perform(otherwise)
    case .loop(let targets, let over, let condition, let body, let otherwise, let line):
      self.line = line
      return try loop(targets, over, condition, body, otherwise)
    case .assignment(let targets, let expression, let line):
      self.line = line
      try assign(targets, value(expression))
    case .attributeAssignment(let name, let attribute, let expression, let line):
      self.line = line
      guard case .namespace(let namespace) = lookup(name) else { throw wrong("\(name) is no namespace, and cannot be changed") }
      namespace.values[attribute] = try value(expression)
    case .capture(let name, let body): try assign([name], .text(captured { try $0.perform(body) }))
    case .macro(let macro):
      guard scopes.count == 1 else { throw unsupported("the macro \(macro.name) inside of a loop or macro") }
      scopes[0][macro.name] = .macro(macro)
    case .group(let body): return try perform(body)
    case .leaveLoop: return .leaves
    case .nextRound: return .continues
    }
    return .onward
  }

  /// What `body` writes, apart from the rest.
  private mutating func captured(_ body: (inout TemplateRun) throws -> Flow) throws -> String {
    let before = output
    output = ""
    defer { output = before }
    guard case .onward = try body(&self) else { throw wrong("'break' or 'continue' stands outside of a loop") }
    return output
  }

  private mutating func assign(_ targets: [String], _ value: TemplateValue) throws {
    guard targets.count > 1 else {
      scopes[scopes.count - 1][targets[0]] = value
      return
    }
    guard case .list(let values) = value, values.count == targets.count else {
      throw wrong("\(value.kind) cannot be taken apart into \(targets.count)")
    }
    for (target, value) in zip(targets, values) { scopes[scopes.count - 1][target] = value }
  }

  private mutating func loop(
    _ targets: [String], _ over: TemplateExpression, _ condition: TemplateExpression?, _ body: [TemplateStatement],
    _ otherwise: [TemplateStatement]
  ) throws -> Flow {
    var items = try items(of: value(over))
    if let condition {
      scopes.append([:])
      defer { scopes.removeLast() }
      var kept: [TemplateValue] = []
      for item in items {
        try step()
        try assign(targets, item)
        if try value(condition).isTrue { kept.append(item) }
      }
      items = kept
    }
    if items.isEmpty { return try perform(otherwise) }
    scopes.append([:])
    defer { scopes.removeLast() }
    for (index, item) in items.enumerated() {
      try step()
      scopes[scopes.count - 1] = ["loop": Self.loopVariables(index, items)]
      try assign(targets, item)
      if case .leaves = try perform(body) { break }
    }
    return .onward
  }

  private static func loopVariables(_ index: Int, _ items: [TemplateValue]) -> TemplateValue {
    let last = items.count - 1
    return .dictionary(
      TemplateDictionary([
        ("index", .integer(index + 1)), ("index0", .integer(index)), ("revindex", .integer(last - index + 1)),
        ("revindex0", .integer(last - index)), ("first", .bool(index == 0)), ("last", .bool(index == last)),
        ("length", .integer(items.count)), ("previtem", index > 0 ? items[index - 1] : .undefined("loop.previtem")),
        ("nextitem", index < last ? items[index + 1] : .undefined("loop.nextitem")),
      ]))
  }

  /// What a loop goes through.
  func items(of value: TemplateValue) throws -> [TemplateValue] {
    switch value {
    case .list(let values): return values
    case .dictionary(let dictionary): return dictionary.members.map { .text($0.key) }
    case .text(let text): return text.unicodeScalars.map { .text(String($0)) }
    case .undefined: return []
    default: throw wrong("\(value.kind) has no items")
    }
  }

  private func lookup(_ name: String) -> TemplateValue {
    for scope in scopes.reversed() { if let value = scope[name] { return value } }
    return globals[name] ?? .undefined(name)
  }

  mutating func value(_ expression: TemplateExpression) throws -> TemplateValue {
    try step()
    switch expression {
    case .literal(let value): return value
    case .name(let name): return lookup(name)
    case .list(let items): return .list(try items.map { try value($0) })
    case .dictionary(let pairs):
      return .dictionary(TemplateDictionary(try pairs.map { (try key(value($0.0)), try value($0.1)) }))
    case .attribute(let target, let name): return try attribute(name, of: value(target))
    case .item(let target, let index): return try item(value(index), of: value(target))
    case .slice(let target, let from, let to, let step):
      return try slice(value(target), from.map { try value($0) }, to.map { try value($0) }, step.map { try value($0) })
    case .call(let function, let arguments): return try call(function, arguments)
    case .filter(let input, let name, let arguments):
      return try filter(name, value(input), evaluated(arguments))
    case .test(let input, let name, let arguments, let isNegated):
      return .bool(try test(name, value(input), arguments.map { try value($0) }) != isNegated)
    case .not(let operand): return .bool(try !value(operand).isTrue)
    case .negative(let operand):
      let operand = try value(operand)
      if let integer = operand.integer, integer != .min { return .integer(-integer) }
      guard case .number(let number) = operand else { throw wrong("\(operand.kind) has no sign") }
      return .number(-number)
    case .and(let left, let right):
      let left = try value(left)
      return left.isTrue ? try value(right) : left
    case .or(let left, let right):
      let left = try value(left)
      return left.isTrue ? left : try value(right)
    case .binary(let sign, let left, let right): return try binary(sign, value(left), value(right))
    case .conditional(let condition, let then, let otherwise):
      if try value(condition).isTrue { return try value(then) }
      return try otherwise.map { try value($0) } ?? .undefined("the other case")
    }
  }

  func key(_ value: TemplateValue) throws -> String {
    guard let text = value.text else { throw unsupported("\(value.kind) as a key") }
    return text
  }

  private mutating func evaluated(_ arguments: TemplateArguments) throws -> TemplateCall {
    TemplateCall(
      values: try arguments.values.map { try value($0) },
      named: try arguments.named.map { ($0.0, try value($0.1)) })
  }

  private mutating func call(_ function: TemplateExpression, _ arguments: TemplateArguments) throws -> TemplateValue {
    if case .attribute(let target, let name) = function {
      let target = try value(target)
      if case .namespace(let namespace) = target, case .macro(let macro)? = namespace.values[name] {
        return try call(macro, evaluated(arguments))
      }
      return try method(name, of: target, evaluated(arguments))
    }
    switch try value(function) {
    case .macro(let macro): return try call(macro, evaluated(arguments))
    case .function(let name): return try self.function(name, evaluated(arguments))
    case .undefined(let name): throw unsupported("the function '\(name)'")
    case let other: throw wrong("\(other.kind) cannot be called")
    }
  }

  /// A macro sees its parameters and what is set outside of loops.
  private mutating func call(_ macro: TemplateMacro, _ call: TemplateCall) throws -> TemplateValue {
    calls += 1
    defer { calls -= 1 }
    guard calls < 64 else { throw wrong("macros call each other without end") }
    guard call.values.count <= macro.parameters.count else { throw wrong("\(macro.name) takes fewer arguments") }
    if let (name, _) = call.named.first(where: { given in !macro.parameters.contains { $0.name == given.0 } }) {
      throw wrong("\(macro.name) has no parameter '\(name)'")
    }
    let outer = scopes
    scopes = [outer[0], [:]]
    defer { scopes = outer }
    for (place, parameter) in macro.parameters.enumerated() {
      let given = place < call.values.count ? call.values[place] : call.named.first { $0.0 == parameter.name }?.1
      scopes[1][parameter.name] = try given ?? parameter.fallback.map { try value($0) } ?? .undefined(parameter.name)
    }
    return .text(try captured { try $0.perform(macro.body) })
  }
}

/// The arguments of a call, once they are known.
struct TemplateCall {
  var values: [TemplateValue] = []
  var named: [(String, TemplateValue)] = []

  var isEmpty: Bool { values.isEmpty && named.isEmpty }

  /// The argument at `place` or of that name.
  func argument(_ place: Int, _ name: String) -> TemplateValue? {
    place < values.count ? values[place] : named.first { $0.0 == name }?.1
  }
}
