import MeanderErrors

/// What a GGUF file says of its model, by key.
package struct GGUFMetadata: Sendable {
  private let bytes: FileBytes
  private var values: [String: GGUFValue] = [:]
  /// Where in the file each value stands, its type before it; in the file's order.
  private var places: [(key: String, range: Range<Int>)] = []

  init(_ reader: inout GGUFReader, count: Int, _ bytes: FileBytes) throws {
    self.bytes = bytes
    for _ in 0..<count {
      let start = reader.place
      let key = try reader.text("a key")
      let place = reader.place
      let kind = try reader.number(UInt32.self, "the type of '\(key)'")
      let value = try GGUFValue(&reader, kind: kind, key, bytes)
      guard values.updateValue(value, forKey: key) == nil else {
        throw reader.damaged("the key '\(key)' stands twice", at: start)
      }
      places.append((key, place..<reader.place))
    }
  }

  package var path: String { bytes.path }
  /// All keys, sorted.
  package var keys: [String] { values.keys.sorted() }

  package subscript(key: String) -> GGUFValue? { values[key] }

  /// The texts among the values.
  package var texts: [String: String] { values.compactMapValues(\.text) }

  /// Everything as it stands, for another file to say the same.
  package var copied: [(key: String, value: GGUFWriter.Value)] {
    places.map { ($0.key, .copied(bytes.copy($0.range))) }
  }

  /// An error that names `key` of this file.
  package func failure(_ key: String, _ what: String, _ code: MeanderError.Code = .badData) -> MeanderError {
    MeanderError(code, "'\(key)' \(what)", at: path)
  }

  /// The value of `key` read by `read`; nil where it is left out. Throws where it is no `kind`.
  private func value<Value>(_ key: String, _ kind: String, _ read: (GGUFValue) -> Value?) throws -> Value? {
    guard let value = values[key] else { return nil }
    guard let result = read(value) else { throw failure(key, "must be \(kind), it is \(value.kind)") }
    return result
  }

  package func text(_ key: String) throws -> String? { try value(key, "a text", \.text) }
  package func integer(_ key: String) throws -> Int? { try value(key, "a whole number", \.integer) }
  package func bool(_ key: String) throws -> Bool? { try value(key, "true or false", \.bool) }
  package func float(_ key: String) throws -> Double? { try value(key, "a number", \.number) }
  package func array(_ key: String) throws -> GGUFArray? { try value(key, "an array", \.array) }

  /// Where a multiple of this many bytes begins, a tensor may: 32 where nothing else is said.
  func alignment() throws -> Int {
    let alignment = try integer("general.alignment") ?? 32
    guard (1...1 << 16).contains(alignment), alignment & (alignment - 1) == 0 else {
      throw failure("general.alignment", "is \(alignment), no power of two up to 65536")
    }
    return alignment
  }
}

/// One value of a GGUF file's metadata.
package enum GGUFValue: Sendable {
  case integer(Int)
  /// A number with a fraction, or a whole one beyond 63 bits, rounded.
  case number(Double)
  case bool(Bool)
  case text(String)
  case array(GGUFArray)

  package var integer: Int? { if case .integer(let value) = self { value } else { nil } }
  package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
  package var text: String? { if case .text(let value) = self { value } else { nil } }
  package var array: GGUFArray? { if case .array(let value) = self { value } else { nil } }
  package var number: Double? {
    switch self {
    case .integer(let value): Double(value)
    case .number(let value): value
    default: nil
    }
  }

  var kind: String {
    switch self {
    case .integer: "a whole number"
    case .number: "a number"
    case .bool: "true or false"
    case .text: "a text"
    case .array: "an array"
    }
  }

  // The types' numbers.
  fileprivate static let textKind: UInt32 = 8
  fileprivate static let arrayKind: UInt32 = 9

  init(_ reader: inout GGUFReader, kind: UInt32, _ key: String, _ bytes: FileBytes) throws {
    guard kind == Self.arrayKind else {
      self = try Self.scalar(&reader, kind, key)
      return
    }
    let place = reader.place
    let inner = try reader.number(UInt32.self, "the type in '\(key)'")
    guard let width = Self.width(inner) else {
      let what = inner == Self.arrayKind ? "an array of arrays, which is" : "of type \(inner), which is"
      throw reader.unsupported("'\(key)' is \(what) not understood", at: place)
    }
    let count = try reader.count(smallestItem: width, "values of '\(key)'")
    self = .array(GGUFArray(bytes: bytes, key: key, kind: inner, count: count, start: reader.place))
    if inner == Self.textKind {
      for _ in 0..<count { _ = try reader.textBytes("'\(key)'") }
    } else {
      try reader.skip(count * width, "'\(key)'")
    }
  }

  /// Bytes that a value of a type takes at least.
  private static func width(_ kind: UInt32) -> Int? {
    switch kind {
    case 0, 1, 7: 1
    case 2, 3: 2
    case 4, 5, 6: 4
    case 8, 10, 11, 12: 8
    default: nil
    }
  }

  fileprivate static func scalar(_ reader: inout GGUFReader, _ kind: UInt32, _ key: String) throws -> GGUFValue {
    let place = reader.place
    switch kind {
    case 0: return .integer(Int(try reader.number(UInt8.self, "'\(key)'")))
    case 1: return .integer(Int(try reader.number(Int8.self, "'\(key)'")))
    case 2: return .integer(Int(try reader.number(UInt16.self, "'\(key)'")))
    case 3: return .integer(Int(try reader.number(Int16.self, "'\(key)'")))
    case 4: return .integer(Int(try reader.number(UInt32.self, "'\(key)'")))
    case 5: return .integer(Int(try reader.number(Int32.self, "'\(key)'")))
    case 6: return .number(Double(Float(bitPattern: try reader.number(UInt32.self, "'\(key)'"))))
    case 7:
      let byte = try reader.number(UInt8.self, "'\(key)'")
      guard byte < 2 else { throw reader.damaged("'\(key)' is \(byte), neither true nor false", at: place) }
      return .bool(byte == 1)
    case textKind: return .text(try reader.text("'\(key)'"))
    case 10:
      let value = try reader.number(UInt64.self, "'\(key)'")
      return Int(exactly: value).map { .integer($0) } ?? .number(Double(value))
    case 11: return .integer(Int(try reader.number(Int64.self, "'\(key)'")))
    case 12: return .number(Double(bitPattern: try reader.number(UInt64.self, "'\(key)'")))
    default: throw reader.unsupported("'\(key)' is of type \(kind), which is not understood", at: place)
    }
  }
}

/// An array of a GGUF file's metadata, which stays in the file until it is asked for.
package struct GGUFArray: Sendable {
  fileprivate let bytes: FileBytes
  fileprivate let key: String
  fileprivate let kind: UInt32
  package let count: Int
  fileprivate let start: Int

  fileprivate init(bytes: FileBytes, key: String, kind: UInt32, count: Int, start: Int) {
    (self.bytes, self.key, self.kind, self.count, self.start) = (bytes, key, kind, count, start)
  }

  private func read<Value>(_ kind: String, _ read: (GGUFValue) -> Value?) throws -> [Value] {
    var reader = GGUFReader(bytes, at: start)
    return try (0..<count).map { _ in
      guard let value = read(try GGUFValue.scalar(&reader, self.kind, key)) else {
        throw MeanderError(.badData, "'\(key)' must be an array of \(kind)", at: bytes.path)
      }
      return value
    }
  }

  package func integers() throws -> [Int] { try read("whole numbers", \.integer) }
  package func numbers() throws -> [Double] { try read("numbers", \.number) }
  package func bools() throws -> [Bool] { try read("true and false", \.bool) }

  /// The bytes of each text, which need not be UTF-8.
  package func texts() throws -> [[UInt8]] {
    guard kind == GGUFValue.textKind else { throw MeanderError(.badData, "'\(key)' must be an array of texts", at: bytes.path) }
    var reader = GGUFReader(bytes, at: start)
    return try (0..<count).map { _ in bytes.copy(try reader.textBytes("'\(key)'")) }
  }
}

extension GGUFReader {
  func unsupported(_ what: String, at place: Int) -> MeanderError {
    MeanderError(.unsupported, what, at: "\(path), byte \(place)", remedy: "Convert the model again.")
  }
}
