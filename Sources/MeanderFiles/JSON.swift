import MeanderErrors

/// A JSON value, as model files write it.
///
/// Our own parser rather than Foundation's: it names the byte where a file goes wrong, keeps the order of an
/// object's members, reads the bare words `NaN`, `Infinity` and `-Infinity` of published configurations, and
/// draws no Unicode tables into the program.
package enum JSON: Sendable, Equatable {
  case null
  case bool(Bool)
  case number(JSONNumber)
  case string(String)
  case array([JSON])
  case object(JSONObject)

  /// Reads one JSON value that fills `bytes`. Linear in their count; the depth is bounded by 128.
  ///
  /// Throws `.badData` naming file and byte: on anything but strict JSON in strict UTF-8 (the bare words
  /// aside), on a lone surrogate, and on an object that names a key twice.
  package static func parse(_ bytes: FileBytes) throws -> JSON {
    try bytes.withBytes { span in
      var parser = JSONParser(path: bytes.path)
      return try parser.document(span)
    }
  }

  /// The same for bytes at `range` of a file (a header, say); offsets in messages count from the file's
  /// start.
  static func parse(_ bytes: FileBytes, _ range: Range<Int>) throws -> JSON {
    try bytes.withBytes(range) { span in
      var parser = JSONParser(path: bytes.path, origin: range.lowerBound)
      return try parser.document(span)
    }
  }
}

/// A number as it was written: an exact integer where it is one and fits 64 bits, else the nearest double.
package enum JSONNumber: Sendable, Equatable {
  case integer(Int)
  case double(Double)
}

extension JSON {
  /// The member `key` of an object; nil where there is none or this is no object.
  package subscript(key: String) -> JSON? { object?[key] }

  package var object: JSONObject? { if case .object(let object) = self { object } else { nil } }
  package var array: [JSON]? { if case .array(let values) = self { values } else { nil } }
  package var string: String? { if case .string(let text) = self { text } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

  /// The number where it is a whole one that 64 bits hold (7 and 7.0 alike).
  package var integer: Int? {
    switch self {
    case .number(.integer(let value)): value
    case .number(.double(let value)): Int(exactly: value)
    default: nil
    }
  }

  /// The number as a double; transformers 5 writes what JSON has no word for as `{"__float__": "Infinity"}`.
  package var double: Double? {
    switch self {
    case .number(.integer(let value)): return Double(value)
    case .number(.double(let value)): return value
    case .object(let object) where object.count == 1:
      switch object["__float__"]?.string {
      case "Infinity": return .infinity
      case "-Infinity": return -.infinity
      case "NaN": return .nan
      default: return nil
      }
    default: return nil
    }
  }

  package init(_ value: Int) { self = .number(.integer(value)) }
  package init(_ value: Double) { self = .number(.double(value)) }
  package init(_ values: [String]) { self = .array(values.map { .string($0) }) }

  /// An object of these members.
  package init(_ members: [(String, JSON)]) { self = .object(JSONObject(members)) }

  /// What kind of value this is, for a message.
  package var kind: String {
    switch self {
    case .null: "null"
    case .bool: "a boolean"
    case .number: "a number"
    case .string: "a string"
    case .array: "an array"
    case .object: "an object"
    }
  }
}
