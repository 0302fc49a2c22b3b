import MeanderErrors

/// A configuration that is consumed whole: every key is asked for, or said to carry nothing, or `finish()`
/// refuses it by name. So a setting that would change a model's arithmetic is never overlooked.
///
/// `null` counts as left out. Keys may be asked for more than once. Errors are `.badData`, naming file and
/// key.
package struct Configuration: Sendable {
  /// The file that the configuration came from, for messages.
  package let file: String
  private let object: JSONObject
  private let prefix: String
  private var consumed: Set<String> = []

  /// The configuration in `json`, which must be an object.
  package init(_ json: JSON, file: String) throws {
    guard let object = json.object else {
      throw MeanderError(.badData, "a configuration must be an object, this is \(json.kind)", at: file)
    }
    self.init(object, file: file, prefix: "")
  }

  private init(_ object: JSONObject, file: String, prefix: String) {
    self.object = object
    self.file = file
    self.prefix = prefix
  }

  /// All keys, in the file's order.
  package var keys: [String] { object.keys }

  /// Whether `key` is there and not null. Does not consume it.
  package func has(_ key: String) -> Bool {
    switch object[key] {
    case nil, .null?: false
    default: true
    }
  }

  /// The raw value of `key`; nil where it is left out or null.
  package mutating func value(_ key: String) -> JSON? {
    consumed.insert(key)
    return has(key) ? object[key] : nil
  }

  /// An error that names `key` of this file: what is wrong with it.
  package func failure(_ key: String, _ what: String) -> MeanderError {
    MeanderError(.badData, "'\(prefix)\(key)' \(what)", at: file)
  }

  package mutating func optionalInteger(_ key: String, in range: ClosedRange<Int>) throws -> Int? {
    guard let value = value(key) else { return nil }
    guard let number = value.integer else { throw failure(key, "must be an integer, it is \(value.kind)") }
    guard range.contains(number) else {
      throw failure(key, "is \(number), it must lie in \(range.lowerBound) to \(range.upperBound)")
    }
    return number
  }

  package mutating func integer(
    _ key: String, _ fallback: Int? = nil, in range: ClosedRange<Int>
  ) throws -> Int {
    try require(key, try optionalInteger(key, in: range) ?? fallback)
  }

  /// A number in `range`; where no range is given, any number that is not NaN (infinity included).
  package mutating func optionalFloat(_ key: String, in range: ClosedRange<Double>? = nil) throws -> Double? {
    guard let value = value(key) else { return nil }
    guard let number = value.double, !number.isNaN else {
      throw failure(key, "must be a number, it is \(value.kind)")
    }
    try check(key, number, in: range)
    return number
  }

  package mutating func float(
    _ key: String, _ fallback: Double? = nil, in range: ClosedRange<Double>? = nil
  ) throws -> Double {
    try require(key, try optionalFloat(key, in: range) ?? fallback)
  }

  package mutating func optionalBool(_ key: String) throws -> Bool? {
    guard let value = value(key) else { return nil }
    guard let flag = value.bool else { throw failure(key, "must be true or false, it is \(value.kind)") }
    return flag
  }

  package mutating func bool(_ key: String, _ fallback: Bool? = nil) throws -> Bool {
    try require(key, try optionalBool(key) ?? fallback)
  }

  /// A string; one of `choices` where they are given.
  package mutating func optionalString(_ key: String, among choices: [String]? = nil) throws -> String? {
    guard let value = value(key) else { return nil }
    guard let text = value.string else { throw failure(key, "must be a string, it is \(value.kind)") }
    if let choices, !choices.contains(text) {
      throw failure(key, "is '\(text)', it must be one of: \(choices.joined(separator: ", "))")
    }
    return text
  }

  package mutating func string(
    _ key: String, _ fallback: String? = nil, among choices: [String]? = nil
  ) throws -> String {
    try require(key, try optionalString(key, among: choices) ?? fallback)
  }

  package mutating func strings(_ key: String, _ fallback: [String]? = nil) throws -> [String] {
    try require(key, try list(key, "strings") { $0.string } ?? fallback)
  }

  /// Numbers, as many as `count` where it is given, each in `range` where it is given.
  package mutating func floats(
    _ key: String, _ fallback: [Double]? = nil, count: Int? = nil, in range: ClosedRange<Double>? = nil
  ) throws -> [Double] {
    let numbers = try require(key, try list(key, "numbers") { $0.double } ?? fallback)
    if let count, numbers.count != count {
      throw failure(key, "holds \(numbers.count) numbers, it must hold \(count)")
    }
    for number in numbers { try check(key, number, in: range) }
    return numbers
  }

  /// Integers, each in `range`. One integer alone counts as a list of one.
  package mutating func integers(
    _ key: String, _ fallback: [Int]? = nil, in range: ClosedRange<Int>
  ) throws -> [Int] {
    let alone = value(key)?.integer.map { [$0] }
    let numbers = try require(key, try alone ?? list(key, "integers") { $0.integer } ?? fallback)
    for number in numbers where !range.contains(number) {
      throw failure(key, "holds \(number), it must hold \(range.lowerBound) to \(range.upperBound)")
    }
    return numbers
  }

  /// The configuration inside `key`, to be finished on its own; nil where it is left out or null.
  package mutating func object(_ key: String) throws -> Configuration? {
    guard let value = value(key) else { return nil }
    guard let inner = value.object else { throw failure(key, "must be an object, it is \(value.kind)") }
    return Configuration(inner, file: file, prefix: "\(prefix)\(key).")
  }

  /// Consumes keys that are known to change nothing in what a model computes.
  package mutating func ignore(_ keys: [String]) { consumed.formUnion(keys) }

  /// Refuses every key that nobody asked for, all of them in one error.
  package func finish() throws {
    let left = keys.filter { !consumed.contains($0) }
    if left.isEmpty { return }
    let names = left.map { prefix + $0 }.joined(separator: ", ")
    throw MeanderError(
      .badData, "the configuration has keys that mean nothing here: \(names)", at: file,
      remedy: "They may change what the model computes. Remove them only if you know that they do not.")
  }

  private func require<Value>(_ key: String, _ value: Value?) throws -> Value {
    guard let value else { throw failure(key, "is missing") }
    return value
  }

  private func check(_ key: String, _ number: Double, in range: ClosedRange<Double>?) throws {
    guard let range, !range.contains(number) else { return }
    throw failure(key, "is \(number), it must lie in \(range.lowerBound) to \(range.upperBound)")
  }

  private mutating func list<Value>(_ key: String, _ kind: String, _ convert: (JSON) -> Value?) throws
    -> [Value]?
  {
    guard let value = value(key) else { return nil }
    guard let values = value.array else {
      throw failure(key, "must be a list of \(kind), it is \(value.kind)")
    }
    return try values.map { value in
      guard let converted = convert(value) else {
        throw failure(key, "must hold \(kind), it holds \(value.kind)")
      }
      return converted
    }
  }
}
