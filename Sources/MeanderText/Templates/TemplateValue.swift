import MeanderFiles

/// What a template computes with. Tuples are lists: no template that is understood can tell them apart.
enum TemplateValue: Sendable {
  /// A name or attribute that stands for nothing.
  case undefined(String)
  case none
  case bool(Bool)
  case integer(Int)
  case number(Double)
  case text(String)
  case list([TemplateValue])
  case dictionary(TemplateDictionary)
  case namespace(TemplateNamespace)
  case macro(TemplateMacro)
  case function(String)

  init(_ json: JSON) {
    switch json {
    case .null: self = .none
    case .bool(let value): self = .bool(value)
    case .number(.integer(let value)): self = .integer(value)
    case .number(.double(let value)): self = .number(value)
    case .string(let text): self = .text(text)
    case .array(let values): self = .list(values.map { TemplateValue($0) })
    case .object(let object):
      self = .dictionary(TemplateDictionary(object.members.map { ($0.key, TemplateValue($0.value)) }))
    }
  }

  var isTrue: Bool {
    switch self {
    case .undefined, .none: false
    case .bool(let value): value
    case .integer(let value): value != 0
    case .number(let value): value != 0
    case .text(let text): !text.isEmpty
    case .list(let values): !values.isEmpty
    case .dictionary(let dictionary): !dictionary.members.isEmpty
    case .namespace, .macro, .function: true
    }
  }

  var text: String? { if case .text(let text) = self { text } else { nil } }
  /// The whole number; true counts as 1, as in Python.
  var integer: Int? {
    switch self {
    case .integer(let value): value
    case .bool(let value): value ? 1 : 0
    default: nil
    }
  }
  var number: Double? { if case .number(let value) = self { value } else { integer.map { Double($0) } } }

  /// What kind of value this is, for a message.
  var kind: String {
    switch self {
    case .undefined(let name): "'\(name)', which is undefined"
    case .none: "none"
    case .bool: "a boolean"
    case .integer, .number: "a number"
    case .text: "a string"
    case .list: "a list"
    case .dictionary: "a mapping"
    case .namespace: "a namespace"
    case .macro: "a macro"
    case .function: "a function"
    }
  }

  /// Equality as Python has it; texts are the same when their scalars are.
  static func equal(_ a: TemplateValue, _ b: TemplateValue) -> Bool {
    if let a = a.integer, let b = b.integer { return a == b }
    if let a = a.number, let b = b.number { return a == b }
    switch (a, b) {
    case (.undefined, .undefined), (.none, .none): return true
    case (.text(let a), .text(let b)): return a.unicodeScalars.elementsEqual(b.unicodeScalars)
    case (.list(let a), .list(let b)): return a.count == b.count && zip(a, b).allSatisfy { equal($0, $1) }
    case (.dictionary(let a), .dictionary(let b)):
      return a.members.count == b.members.count
        && a.members.allSatisfy { member in b[member.key].map { equal(member.value, $0) } ?? false }
    default: return false
    }
  }

  /// Python's `json.dumps` with its usual separators, not escaping what is not ASCII.
  ///
  /// - Parameter indent: spaces for each level, where lines are wanted.
  func json(indent: Int? = nil, level: Int = 0) -> String? {
    func lines(_ open: String, _ parts: [String], _ close: String) -> String {
      guard let indent, !parts.isEmpty else { return open + parts.joined(separator: indent == nil ? ", " : ",") + close }
      let inner = "\n" + String(repeating: " ", count: indent * (level + 1))
      return open + inner + parts.joined(separator: "," + inner) + "\n" + String(repeating: " ", count: indent * level) + close
    }
    switch self {
    case .none: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .integer(let value): return String(value)
    case .number(let value): return value.isFinite ? value.description : nil
    case .text(let text): return String(decoding: JSON.string(text).write(), as: UTF8.self)
    case .list(let values):
      let parts = values.compactMap { $0.json(indent: indent, level: level + 1) }
      return parts.count == values.count ? lines("[", parts, "]") : nil
    case .dictionary(let dictionary):
      let parts = dictionary.members.compactMap { member in
        member.value.json(indent: indent, level: level + 1).map {
          String(decoding: JSON.string(member.key).write(), as: UTF8.self) + ": " + $0
        }
      }
      return parts.count == dictionary.members.count ? lines("{", parts, "}") : nil
    default: return nil
    }
  }
}

/// A mapping whose keys are texts, in their order.
struct TemplateDictionary: Sendable {
  private(set) var members: [(key: String, value: TemplateValue)]

  /// Of a key that stands twice, the last value counts, at the first's place.
  init(_ members: [(String, TemplateValue)] = []) {
    self.members = []
    for (key, value) in members { self[key] = value }
  }

  subscript(key: String) -> TemplateValue? {
    get { members.first { $0.key.unicodeScalars.elementsEqual(key.unicodeScalars) }?.value }
    set {
      guard let newValue else { return }
      if let place = members.firstIndex(where: { $0.key.unicodeScalars.elementsEqual(key.unicodeScalars) }) {
        members[place].value = newValue
      } else {
        members.append((key, newValue))
      }
    }
  }
}

/// What `namespace()` makes: values that outlive the loop in which they are set.
final class TemplateNamespace: @unchecked Sendable {
  // Safe as Sendable: made by a run, and never seen outside of it.
  var values: TemplateDictionary

  init(_ values: TemplateDictionary) { self.values = values }
}
