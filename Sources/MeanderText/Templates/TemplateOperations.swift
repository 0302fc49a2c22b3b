import MeanderErrors

extension TemplateRun {
  /// What a value reads as in the text. Lists and mappings are refused: Python would print them in its own notation.
  func printed(_ value: TemplateValue) throws -> String {
    switch value {
    case .undefined: return ""
    case .none: return "None"
    case .bool(let value): return value ? "True" : "False"
    case .integer(let value): return String(value)
    case .number(let value): return value.description
    case .text(let text): return text
    default: throw unsupported("\(value.kind) as text (without tojson or join)")
    }
  }

  func attribute(_ name: String, of target: TemplateValue) throws -> TemplateValue {
    switch target {
    case .undefined(let what): throw wrong("'\(what)' is undefined, and has no '\(name)'")
    case .dictionary(let dictionary):
      if Self.dictionaryMethods.contains(name) { throw unsupported("the method '\(name)' without a call") }
      return dictionary[name] ?? .undefined(name)
    case .namespace(let namespace): return namespace.values[name] ?? .undefined(name)
    case .text: if Self.textMethods.contains(name) { throw unsupported("the method '\(name)' without a call") }
    default: break
    }
    return .undefined(name)
  }

  func item(_ index: TemplateValue, of target: TemplateValue) throws -> TemplateValue {
    switch target {
    case .undefined(let what): throw wrong("'\(what)' is undefined, and has no items")
    case .dictionary(let dictionary):
      guard let key = index.text else { return .undefined("item") }
      return dictionary[key] ?? .undefined(key)
    case .namespace(let namespace): return index.text.flatMap { namespace.values[$0] } ?? .undefined("item")
    case .list(let values):
      guard let index = index.integer else { return .undefined("item") }
      let place = index < 0 ? index + values.count : index
      return values.indices.contains(place) ? values[place] : .undefined("item \(index)")
    case .text(let text):
      guard let index = index.integer else { return .undefined("item") }
      let scalars = Array(text.unicodeScalars)
      let place = index < 0 ? index + scalars.count : index
      return scalars.indices.contains(place) ? .text(String(scalars[place])) : .undefined("item \(index)")
    default: return .undefined("item")
    }
  }

  func slice(
    _ target: TemplateValue, _ from: TemplateValue?, _ to: TemplateValue?, _ step: TemplateValue?
  ) throws -> TemplateValue {
    func bound(_ value: TemplateValue?) throws -> Int? {
      guard let value else { return nil }
      if case .none = value { return nil }
      guard let bound = value.integer else { throw wrong("\(value.kind) cuts nothing") }
      return bound
    }
    let (from, to, step) = (try bound(from), try bound(to), try bound(step) ?? 1)
    guard step != 0 else { throw wrong("a slice of step 0") }
    func places(_ count: Int) -> [Int] {
      func clamped(_ index: Int, _ low: Int, _ high: Int) -> Int {
        min(max(index < 0 ? index.addingReportingOverflow(count).partialValue : index, low), high)
      }
      if step > 0 {
        return Array(Swift.stride(from: clamped(from ?? 0, 0, count), to: clamped(to ?? count, 0, count), by: step))
      }
      let end = to.map { clamped($0, -1, count - 1) } ?? -1
      return Array(Swift.stride(from: clamped(from ?? count - 1, -1, count - 1), to: end, by: step))
    }
    switch target {
    case .list(let values): return .list(places(values.count).map { values[$0] })
    case .text(let text):
      let scalars = Array(text.unicodeScalars)
      return .text(String(String.UnicodeScalarView(places(scalars.count).map { scalars[$0] })))
    default: throw wrong("\(target.kind) cannot be cut")
    }
  }

  func binary(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws -> TemplateValue {
    switch sign {
    case "==": return .bool(TemplateValue.equal(left, right))
    case "!=": return .bool(!TemplateValue.equal(left, right))
    case "<", ">", "<=", ">=": return .bool(try ordered(sign, left, right))
    case "in": return .bool(try holds(right, left))
    case "not in": return .bool(try !holds(right, left))
    case "~": return .text(try printed(left) + printed(right))
    case "+": return try sum(left, right)
    default: return try arithmetic(sign, left, right)
    }
  }

  private func ordered(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws -> Bool {
    func compare<Value: Comparable>(_ a: Value, _ b: Value) -> Bool {
      switch sign {
      case "<": a < b
      case ">": a > b
      case "<=": a <= b
      default: a >= b
      }
    }
    if let a = left.integer, let b = right.integer { return compare(a, b) }
    if let a = left.number, let b = right.number { return compare(a, b) }
    guard let a = left.text, let b = right.text else { throw wrong("\(left.kind) and \(right.kind) have no order") }
    let isLess = a.unicodeScalars.lexicographicallyPrecedes(b.unicodeScalars)
    let isSame = a.unicodeScalars.elementsEqual(b.unicodeScalars)
    return compare(isSame ? 0 : isLess ? -1 : 1, 0)
  }

  func holds(_ container: TemplateValue, _ item: TemplateValue) throws -> Bool {
    switch container {
    case .list(let values): return values.contains { TemplateValue.equal($0, item) }
    case .dictionary(let dictionary): return item.text.map { dictionary[$0] != nil } ?? false
    case .undefined: return false
    case .text(let text):
      guard let part = item.text else { throw wrong("\(item.kind) is no part of a string") }
      return Self.parts(text, by: part, most: 1).count > 1 || part.isEmpty
    default: throw wrong("\(container.kind) holds nothing")
    }
  }

  private func sum(_ left: TemplateValue, _ right: TemplateValue) throws -> TemplateValue {
    switch (left, right) {
    case (.text(let a), .text(let b)):
      guard a.utf8.count + b.utf8.count <= Self.longestText else { throw wrong("a string grows too long") }
      return .text(a + b)
    case (.list(let a), .list(let b)):
      guard a.count + b.count <= Self.longestRange else { throw wrong("a list grows too long") }
      return .list(a + b)
    default: return try arithmetic("+", left, right)
    }
  }

  private func arithmetic(_ sign: String, _ left: TemplateValue, _ right: TemplateValue) throws -> TemplateValue {
    if let a = left.integer, let b = right.integer, sign != "/" {
      let result: (partialValue: Int, overflow: Bool)
      switch sign {
      case "+": result = a.addingReportingOverflow(b)
      case "-": result = a.subtractingReportingOverflow(b)
      case "*": result = a.multipliedReportingOverflow(by: b)
      default:
        guard b != 0, a != .min else { throw wrong("a division by zero") }
        // Python rounds down.
        let (quotient, rest) = a.quotientAndRemainder(dividingBy: b)
        let isBelow = rest != 0 && (rest < 0) != (b < 0)
        result = (sign == "%" ? (isBelow ? rest + b : rest) : isBelow ? quotient - 1 : quotient, false)
      }
      guard !result.overflow else { throw wrong("a number grows too large") }
      return .integer(result.partialValue)
    }
    guard let a = left.number, let b = right.number else {
      throw unsupported("'\(sign)' between \(left.kind) and \(right.kind)")
    }
    switch sign {
    case "+": return .number(a + b)
    case "-": return .number(a - b)
    case "*": return .number(a * b)
    case "/":
      guard b != 0 else { throw wrong("a division by zero") }
      return .number(a / b)
    default: throw unsupported("'\(sign)' between numbers with fractions")
    }
  }

  func test(_ name: String, _ value: TemplateValue, _ arguments: [TemplateValue]) throws -> Bool {
    func one() throws -> TemplateValue {
      guard arguments.count == 1 else { throw wrong("the test '\(name)' takes one argument") }
      return arguments[0]
    }
    switch (name, value) {
    case ("defined", .undefined): return false
    case ("defined", _): return true
    case ("undefined", .undefined): return true
    case ("undefined", _): return false
    case ("none", .none), ("boolean", .bool), ("string", .text), ("mapping", .dictionary), ("integer", .integer),
      ("float", .number), ("number", .integer), ("number", .number), ("number", .bool): return true
    case ("none", _), ("boolean", _), ("string", _), ("mapping", _), ("integer", _), ("float", _), ("number", _): return false
    case ("true", .bool(let value)): return value
    case ("false", .bool(let value)): return !value
    case ("true", _), ("false", _): return false
    case ("sequence", .list), ("sequence", .text), ("sequence", .dictionary), ("sequence", .undefined),
      ("iterable", .list), ("iterable", .text), ("iterable", .dictionary), ("iterable", .undefined): return true
    case ("sequence", _), ("iterable", _): return false
    case ("callable", .macro), ("callable", .function): return true
    case ("callable", _): return false
    case ("odd", .integer(let value)): return value % 2 != 0
    case ("even", .integer(let value)): return value % 2 == 0
    case ("in", _): return try holds(one(), value)
    case ("eq", _), ("equalto", _): return TemplateValue.equal(value, try one())
    case ("ne", _): return !TemplateValue.equal(value, try one())
    case ("lt", _), ("gt", _), ("le", _), ("ge", _):
      let signs = ["lt": "<", "gt": ">", "le": "<=", "ge": ">="]
      return try ordered(signs[name] ?? "<", value, one())
    default: throw unsupported("the test '\(name)' of \(value.kind)")
    }
  }
}
