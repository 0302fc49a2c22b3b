import MeanderErrors
import MeanderFiles

/// The settings of one mitigation on their way in: `key=value,…`, and calibrated values from a file.
package struct MitigationSettings {
  /// What was given, for messages.
  let place: String
  private var given: [(key: String, value: String)] = []
  private var values: [String: HeadValues] = [:]
  private var known: [String] = []

  /// Throws `.badRequest` for what is no list of `key=value`, or names a key twice.
  init(text: String, of place: String) throws {
    self.place = place
    guard !text.isEmpty else { return }
    for part in text.split(separator: ",", omittingEmptySubsequences: false) {
      let sides = part.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard sides.count == 2, !sides[0].isEmpty, !sides[1].isEmpty else {
        throw MeanderError(
          .badRequest, "“\(part)” is no setting", at: place, remedy: "Write them as rri:retention=0.9999,insertion=0.75.")
      }
      guard !given.contains(where: { $0.key == sides[0] }) else {
        throw MeanderError(.badRequest, "\(sides[0]) is given twice", at: place)
      }
      given.append((sides[0], sides[1]))
    }
  }

  init(_ settings: [(key: String, value: String)], values: [String: HeadValues], of place: String) {
    self.place = place
    given = settings
    self.values = values
  }

  mutating func text(_ key: String) -> String? {
    known.append(key)
    guard let index = given.firstIndex(where: { $0.key == key }) else { return nil }
    return given.remove(at: index).value
  }

  mutating func number(_ key: String) throws -> Double? {
    guard let text = text(key) else { return nil }
    guard let value = Double(text), value.isFinite else { throw refusal(key, text, "a number") }
    return value
  }

  /// A number of tokens: `8192` or `8K`, K and M being powers of 1024.
  mutating func tokens(_ key: String) throws -> Int? {
    guard let text = text(key) else { return nil }
    let unit = text.last == "K" ? 1 << 10 : text.last == "M" ? 1 << 20 : 1
    guard let count = Int(unit == 1 ? text : String(text.dropLast())), (0...Int(Int32.max)).contains(count) else {
      throw refusal(key, text, "a number of tokens")
    }
    return count * unit
  }

  mutating func word<Word: RawRepresentable & CaseIterable>(_ key: String) throws -> Word? where Word.RawValue == String {
    guard let text = text(key) else { return nil }
    guard let word = Word(rawValue: text) else {
      throw refusal(key, text, "one of \(Word.allCases.map(\.rawValue).joined(separator: ", "))")
    }
    return word
  }

  /// A number for all heads, or the values for each that a calibration found.
  mutating func perHead(_ key: String) throws -> HeadValues? {
    known.append(key)
    if let values = values.removeValue(forKey: key) { return values }
    known.removeLast()
    return try number(key).map { HeadValues($0) }
  }

  /// All calibrated values whose keys begin so, by what follows in the key.
  mutating func calibrated(prefix: String) -> [(key: String, values: HeadValues)] {
    let keys = values.keys.filter { $0.hasPrefix(prefix) }.sorted()
    return keys.compactMap { key in
      values.removeValue(forKey: key).map { (String(key.dropFirst(prefix.count)), $0) }
    }
  }

  private func refusal(_ key: String, _ text: String, _ wanted: String) -> MeanderError {
    MeanderError(.badRequest, "\(key) is \(text) and must be \(wanted)", at: place)
  }

  /// Refuses what nobody took.
  func finish() throws {
    guard let left = given.first?.key ?? values.keys.min() else { return }
    throw MeanderError(
      .badRequest, "there is no setting “\(left)” here", at: place,
      remedy: known.isEmpty ? "It has none." : "Known: \(known.joined(separator: ", ")).")
  }
}

/// Values of a knob: one for all, one for each layer, or one for each head of each layer.
package struct HeadValues: Sendable, Hashable {
  /// L rows or one that serves all layers; H numbers each, or one that serves all heads.
  package let rows: [[Double]]

  package init(_ value: Double) { rows = [[value]] }
  package init(rows: [[Double]]) { self.rows = rows }

  package func value(layer: Int, head: Int) -> Double {
    let row = rows[rows.count == 1 ? 0 : layer]
    return row[row.count == 1 ? 0 : head]
  }

  /// The number as text, or a digest of many.
  package var text: String {
    if rows.count == 1, rows[0].count == 1 { return rows[0][0].description }
    var digest: UInt64 = 0xcbf2_9ce4_8422_2325
    for row in rows {
      for value in row + [Double(row.count)] {
        for byte in 0..<8 { digest = (digest ^ (value.bitPattern >> UInt64(8 * byte)) & 0xff) &* 0x100_0000_01b3 }
      }
    }
    return "#" + String(digest, radix: 16)
  }
}
