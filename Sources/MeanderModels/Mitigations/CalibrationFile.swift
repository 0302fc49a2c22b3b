import MeanderErrors
import MeanderFiles

/// What `meander calibrate` writes: one mitigation's settings and values for one model, as JSON.
package struct CalibrationFile {
  package let name: String
  package let fingerprint: String
  package let settings: [(key: String, value: String)]
  package let values: [String: HeadValues]
  /// How they were found, for people: text by name.
  package let notes: [(String, JSON)]
  private let path: String

  package init(name: String, fingerprint: String, _ result: CalibrationResult, notes: [(String, JSON)]) {
    (self.name, self.fingerprint, settings, values) = (name, fingerprint, result.settings, result.values)
    self.notes = notes
    path = name
  }

  /// Throws `.badData` for a file that holds no calibration.
  package init(contentsOf path: String) throws {
    let json = try JSON.parse(FileBytes.mapping(path))
    func missing(_ what: String) -> MeanderError {
      MeanderError(
        .badData, "this is no calibration: \(what)", at: path, remedy: "Name a file that meander calibrate wrote.")
    }
    guard json["meander_calibration"]?.integer == 1 else { throw missing("it does not say meander_calibration 1") }
    guard let name = json["mitigation"]?.string, let fingerprint = json["model_fingerprint"]?.string else {
      throw missing("mitigation or model_fingerprint is missing")
    }
    (self.name, self.fingerprint, self.path) = (name, fingerprint, path)
    settings = try (json["settings"]?.object?.members ?? []).map { member in
      guard let text = member.value.string else { throw missing("setting \(member.key) is no text") }
      return (member.key, text)
    }
    var values: [String: HeadValues] = [:]
    for member in json["values"]?.object?.members ?? [] {
      let rows = try (member.value.array ?? []).map { row in
        try (row.array ?? []).map { number in
          guard let value = number.double, value.isFinite else { throw missing("\(member.key) holds what is no number") }
          return value
        }
      }
      guard !rows.isEmpty, rows.allSatisfy({ !$0.isEmpty }) else { throw missing("\(member.key) holds no rows of numbers") }
      values[member.key] = HeadValues(rows: rows)
    }
    self.values = values
    notes = (json["calibration"]?.object?.members ?? []).map { ($0.key, $0.value) }
  }

  package func mitigation() throws -> Mitigation {
    try Mitigation(name: name, MitigationSettings(settings, values: values, of: "@\(path)"), fingerprint: fingerprint)
  }

  package func write(to path: String) throws {
    let values = self.values.sorted { $0.key < $1.key }.map { key, values in
      (key, JSON.array(values.rows.map { row in .array(row.map { JSON($0) }) }))
    }
    let json = JSON([
      ("meander_calibration", JSON(1)), ("mitigation", .string(name)), ("model_fingerprint", .string(fingerprint)),
      ("settings", JSON(settings.map { ($0.key, .string($0.value)) })), ("values", JSON(values)),
      ("calibration", JSON(notes)),
    ])
    try AtomicFile.write(path, mode: 0o644, bytes: json.write() + [UInt8(ascii: "\n")])
  }
}
