import MeanderErrors

extension TemplateRun {
  static let functions = ["range", "namespace", "dict", "raise_exception", "strftime_now"]
  static let dictionaryMethods: Set = ["items", "keys", "values", "get", "update", "pop", "copy", "setdefault"]
  static let textMethods: Set = [
    "strip", "lstrip", "rstrip", "split", "startswith", "endswith", "upper", "lower", "replace", "title", "capitalize", "find",
    "format", "join", "count", "index", "splitlines",
  ]

  func function(_ name: String, _ call: TemplateCall) throws -> TemplateValue {
    switch name {
    case "range":
      let bounds = try call.values.map { value in
        guard let bound = value.integer else { throw wrong("range counts whole numbers") }
        return bound
      }
      guard (1...3).contains(bounds.count), call.named.isEmpty else { throw wrong("range takes one to three numbers") }
      let (from, to) = bounds.count == 1 ? (0, bounds[0]) : (bounds[0], bounds[1])
      let step = bounds.count == 3 ? bounds[2] : 1
      guard step != 0 else { throw wrong("range takes no step of 0") }
      let numbers = Array(Swift.stride(from: from, to: to, by: step).prefix(Self.longestRange + 1))
      guard numbers.count <= Self.longestRange else { throw wrong("a range of more than \(Self.longestRange)") }
      return .list(numbers.map { .integer($0) })
    case "namespace", "dict":
      guard call.values.isEmpty else { throw unsupported("\(name) of a mapping") }
      let values = TemplateDictionary(call.named)
      return name == "dict" ? .dictionary(values) : .namespace(TemplateNamespace(values))
    case "raise_exception":
      throw MeanderError(
        .badRequest, "the chat template refuses these messages: \(try call.values.first.map { try printed($0) } ?? "")")
    case "strftime_now":
      guard let format = call.argument(0, "format")?.text, let text = date.formatted(format) else {
        throw unsupported("strftime_now with another format than \(TemplateDate.letters)")
      }
      return .text(text)
    default: throw unsupported("the function '\(name)'")
    }
  }

  func method(_ name: String, of target: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
    switch target {
    case .text(let text): return try method(name, of: text, call)
    case .dictionary(let dictionary):
      switch name {
      case "items" where call.isEmpty: return .list(dictionary.members.map { .list([.text($0.key), $0.value]) })
      case "keys" where call.isEmpty: return .list(dictionary.members.map { .text($0.key) })
      case "values" where call.isEmpty: return .list(dictionary.members.map(\.value))
      case "get":
        guard let wanted = call.argument(0, "key") else { throw wrong("get takes a key") }
        return try dictionary[key(wanted)] ?? call.argument(1, "default") ?? .none
      default: break
      }
    case .undefined(let what): throw wrong("'\(what)' is undefined, and has no '\(name)'")
    default: break
    }
    throw unsupported("the method '\(name)' of \(target.kind)")
  }

  private func method(_ name: String, of text: String, _ call: TemplateCall) throws -> TemplateValue {
    func argument() throws -> String {
      guard call.values.count == 1, let argument = call.values[0].text else { throw unsupported("'\(name)' without one string") }
      return argument
    }
    switch name {
    case "strip", "lstrip", "rstrip":
      let characters = call.isEmpty ? nil : try argument()
      return .text(Self.stripped(text, of: characters, left: name != "rstrip", right: name != "lstrip"))
    case "split":
      if call.isEmpty { return .list(Self.words(text).map { .text($0) }) }
      guard let separator = call.argument(0, "sep")?.text, !separator.isEmpty else { throw unsupported("'split' without a string") }
      let most = call.argument(1, "maxsplit")?.integer ?? -1
      return .list(Self.parts(text, by: separator, most: most < 0 ? .max : most).map { .text($0) })
    case "startswith": return .bool(text.unicodeScalars.starts(with: try argument().unicodeScalars))
    case "endswith": return .bool(text.unicodeScalars.reversed().starts(with: try argument().unicodeScalars.reversed()))
    case "upper", "lower", "capitalize", "replace": return try filter(name, .text(text), call)
    case "find":
      let parts = Self.parts(text, by: try argument(), most: 1)
      return .integer(parts.count > 1 ? parts[0].unicodeScalars.count : -1)
    default: throw unsupported("the method '\(name)' of a string")
    }
  }

  func filter(_ name: String, _ input: TemplateValue, _ call: TemplateCall) throws -> TemplateValue {
    func text() throws -> String { try printed(input) }
    switch name {
    case "trim": return .text(Self.stripped(try text(), of: call.argument(0, "chars")?.text, left: true, right: true))
    case "upper": return .text(try text().uppercased())
    case "lower": return .text(try text().lowercased())
    case "capitalize":
      let text = try text()
      return .text(text.prefix(1).uppercased() + text.dropFirst().lowercased())
    case "string", "safe": return .text(try text())
    case "length", "count":
      if case .undefined = input { return .integer(0) }
      return .integer(try items(of: input).count)
    case "default", "d":
      let fallback = call.argument(0, "default_value") ?? .text("")
      if case .undefined = input { return fallback }
      return call.argument(1, "boolean")?.isTrue == true && !input.isTrue ? fallback : input
    case "tojson":
      guard let text = input.json(indent: call.argument(0, "indent")?.integer) else { throw wrong("\(input.kind) has no JSON") }
      return .text(text)
    case "replace":
      guard call.values.count == 2, let old = call.values[0].text, let new = call.values[1].text, !old.isEmpty else {
        throw unsupported("'replace' without two strings")
      }
      let result = Self.parts(try text(), by: old, most: .max).joined(separator: new)
      guard result.utf8.count <= Self.longestText else { throw wrong("a string grows too long") }
      return .text(result)
    case "join":
      let separator = try call.argument(0, "d").map { try printed($0) } ?? ""
      guard call.argument(1, "attribute") == nil else { throw unsupported("'join' of attributes") }
      return .text(try items(of: input).map { try printed($0) }.joined(separator: separator))
    case "first", "last":
      let items = try items(of: input)
      return (name == "first" ? items.first : items.last) ?? .undefined(name)
    case "list": return .list(try items(of: input))
    case "reverse":
      if let text = input.text { return .text(String(String.UnicodeScalarView(text.unicodeScalars.reversed()))) }
      return .list(try items(of: input).reversed())
    case "items": return try input.isTrue ? method("items", of: input, TemplateCall()) : .list([])
    case "int":
      if let integer = input.integer { return .integer(integer) }
      if let integer = input.text.flatMap({ Int(Self.stripped($0, of: nil, left: true, right: true)) }) { return .integer(integer) }
      throw unsupported("'int' of \(input.kind)")
    case "abs":
      guard let integer = input.integer, integer != .min else { throw unsupported("'abs' of \(input.kind)") }
      return .integer(abs(integer))
    case "map": return .list(try mapped(items(of: input), call))
    case "selectattr", "rejectattr": return .list(try selected(items(of: input), call, keeps: name == "selectattr"))
    default: throw unsupported("the filter '\(name)'")
    }
  }

  /// `map(attribute="name")` and `map("filter")`.
  private func mapped(_ items: [TemplateValue], _ call: TemplateCall) throws -> [TemplateValue] {
    if let name = call.argument(.max, "attribute")?.text, call.named.count == 1, call.values.isEmpty, !name.contains(".") {
      return try items.map { try attribute(name, of: $0) }
    }
    guard let name = call.values.first?.text else { throw unsupported("'map' of anything but an attribute or a filter") }
    let rest = TemplateCall(values: Array(call.values.dropFirst()), named: call.named)
    return try items.map { try filter(name, $0, rest) }
  }

  private func selected(_ items: [TemplateValue], _ call: TemplateCall, keeps: Bool) throws -> [TemplateValue] {
    guard let name = call.values.first?.text, call.named.isEmpty, !name.contains(".") else {
      throw unsupported("a selection by anything but an attribute")
    }
    let testName = call.values.count > 1 ? call.values[1].text : nil
    return try items.filter { item in
      let value = try attribute(name, of: item)
      let aliases = ["==": "eq", "!=": "ne", "<": "lt", ">": "gt", "<=": "le", ">=": "ge"]
      let passes = try testName.map { try test(aliases[$0] ?? $0, value, Array(call.values.dropFirst(2))) } ?? value.isTrue
      return passes == keeps
    }
  }

  private static func isBlank(_ scalar: Unicode.Scalar) -> Bool {
    scalar.properties.isWhitespace || ("\u{1C}"..."\u{1F}").contains(scalar)
  }

  static func stripped(_ text: String, of characters: String?, left: Bool, right: Bool) -> String {
    let set = characters.map { Set($0.unicodeScalars) }
    func goes(_ scalar: Unicode.Scalar) -> Bool { set?.contains(scalar) ?? isBlank(scalar) }
    var scalars = Substring(text).unicodeScalars
    if left { scalars = scalars.drop(while: goes) }
    if right { while let last = scalars.last, goes(last) { scalars.removeLast() } }
    return String(scalars)
  }

  private static func words(_ text: String) -> [String] {
    text.unicodeScalars.split(whereSeparator: isBlank).map { String($0) }
  }

  /// `text` cut at each `separator`, of which there is one character at least, at most `most` times.
  static func parts(_ text: String, by separator: String, most: Int) -> [String] {
    let (scalars, pattern) = (Array(text.utf8), Array(separator.utf8))
    guard let first = pattern.first else { return [text] }
    var parts: [String] = []
    var (start, place) = (0, 0)
    while parts.count < most, place + pattern.count <= scalars.count {
      if scalars[place] == first, scalars[place..<place + pattern.count].elementsEqual(pattern) {
        parts.append(String(decoding: scalars[start..<place], as: UTF8.self))
        place += pattern.count
        start = place
      } else {
        place += 1
      }
    }
    return parts + [String(decoding: scalars[start...], as: UTF8.self)]
  }
}
