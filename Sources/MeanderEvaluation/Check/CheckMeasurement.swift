import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab check`: the battery for releases, a page with a line for each promise, passed or failed.
///
/// Line breaks to the longest length (the state stays finite, no head's norm passes twice what it was within the
/// trained length), loss by position flat within 5 %, pass keys over lengths and ten depths, associative recall,
/// RULER's single needle, variables and frequent words.
package struct CheckMeasurement: Measurement {
  package static let name = "check"

  private let collapse: CollapseMeasurement
  /// Nil where no text was given.
  private let context: ContextMeasurement?
  private let passkey: PasskeyMeasurement
  private let tasks: TaskMeasurement
  private let longest: Int
  /// Whether losses mean something for the model.
  private let isLanguageModel: Bool

  package init(
    text: TextFiller?, textName: String, longest: Int, samples: Int, filler: any Filler, fillerName: String,
    trainedLength: Int?,
    isLanguageModel: Bool
  ) throws {
    self.longest = longest
    self.isLanguageModel = isLanguageModel
    collapse = try CollapseMeasurement(
      text: nil, textName: "none", streams: 0, length: 0, newlines: longest, trainedLength: trainedLength)
    context =
      try isLanguageModel
      ? text.map {
        try ContextMeasurement(
          text: $0, textName: textName, contexts: Self.lengths(from: 2048, to: longest), windows: 16, window: 4096,
          baseline: 2048)
      } : nil
    let depths = RecallDepths.fixed((0..<10).map { (Double($0) + 0.5) / 10 })
    passkey = PasskeyMeasurement(
      [.wording(.landmark)], lengths: Self.lengths(from: 1024, to: longest), samples: samples, depths: depths,
      filler: filler,
      fillerName: fillerName)
    tasks = TaskMeasurement(
      try TaskMeasurement.series([
        "mqar-4", "mqar-16", "mqar-64", "needle-single", "variable-tracking", "frequent-words",
      ]), lengths: [1024, 4096],
      samples: 10 * samples, filler: filler, fillerName: fillerName)
  }

  private static func lengths(from first: Int, to last: Int) -> [Int] {
    var lengths: [Int] = []
    var length = first
    while length < last {
      lengths.append(length)
      length *= 4
    }
    return lengths + [last]
  }

  private var parts: [(name: String, measurement: any Measurement)] {
    [("newlines", collapse)] + (context.map { [("context", $0)] } ?? []) + [("passkey", passkey), ("tasks", tasks)]
  }

  package var title: String { "Check" }
  package var settings: [(String, JSON)] {
    parts.map { ($0.name, JSON($0.measurement.settings)) } + [
      ("longest", JSON(longest)), ("length_unit", .string("bytes")),
    ]
  }
  package var units: [MeasurementUnit] {
    parts.flatMap { part in part.measurement.units.map { MeasurementUnit("\(part.name)/\($0.name)", bytes: $0.bytes) } }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    var rest = unit
    for part in parts {
      let count = part.measurement.units.count
      if rest < count { return try await part.measurement.measure(rest, on: stream) }
      rest -= count
    }
    throw MeanderError(.badRequest, "there is no unit \(unit)", at: "lab check")
  }

  package func report(_ outcomes: [JSON?]) throws -> [(String, JSON)] {
    var rest = outcomes[...]
    var reports: [String: JSON] = [:]
    for part in parts {
      let mine = rest.prefix(part.measurement.units.count)
      rest = rest.dropFirst(mine.count)
      // What was not measured at all passes no check and fails none.
      if mine.contains(where: { $0 != nil }) { reports[part.name] = JSON(try part.measurement.report(Array(mine))) }
    }
    let checks =
      newlineChecks(reports["newlines"]) + contextChecks(reports["context"])
      + recallChecks(reports["passkey"], reports["tasks"])
    let rows = (reports["passkey"]?["results"]?.array ?? []) + (reports["tasks"]?["results"]?.array ?? [])
    return [
      ("checks", .array(checks)), ("passed", .bool(checks.allSatisfy { $0["passed"]?.bool != false })),
      ("results", .array(rows)),
      ("by_depth", reports["passkey"]?["by_depth"] ?? .array([])),
      ("panels", reports["newlines"]?["panels"] ?? .array([])),
      ("context", reports["context"]?["results"] ?? .array([])),
    ]
  }

  private func check(_ name: String, _ value: Double?, _ bound: String, samples: Int, passed: Bool) -> JSON {
    JSON([
      ("check", .string(name)), ("value", value.map { JSON($0) } ?? .null), ("bound", .string(bound)),
      ("samples", JSON(samples)),
      ("passed", .bool(passed)),
    ])
  }

  private func newlineChecks(_ report: JSON?) -> [JSON] {
    guard let report else { return [] }
    let name = "\(Figure.length(Double(longest))) line breaks"
    let isFinite = report["states_not_finite"] == nil
    var largest: Double?
    for panel in report["panels"]?.array?.prefix(1) ?? [] {
      for series in panel["series"]?.array ?? [] {
        let last = series["points"]?.array?.last?.array?.compactMap(\.double) ?? []
        if last.count >= 2 { largest = max(largest ?? 0, last[1]) }
      }
    }
    return [
      check("\(name): the state stays finite", nil, "finite", samples: 1, passed: isFinite),
      check(
        "\(name): the largest growth of a head's norm", largest, "< 2", samples: 1, passed: isFinite && largest ?? 0 < 2
      ),
    ]
  }

  private func contextChecks(_ report: JSON?) -> [JSON] {
    (report?["results"]?.array ?? []).compactMap { row in
      guard let length = row["length"]?.integer, length > 2048, let change = row["change"]?.double else { return nil }
      return check(
        "loss after \(Figure.length(Double(length))) of its own past, against 2K", change, "<= 0.05",
        samples: row["samples"]?.integer ?? 0, passed: change <= 0.05)
    }
  }

  /// At least 95 % of pass keys and associations; RULER's own line, 85.6 %, for its tasks.
  private func recallChecks(_ passkey: JSON?, _ tasks: JSON?) -> [JSON] {
    let keys = (passkey?["results"]?.array ?? []).map { (row: $0, prefix: "pass key, ", least: 0.95) }
    let others = (tasks?["results"]?.array ?? []).map { row in
      (row: row, prefix: "", least: (row["series"]?.string ?? "").hasPrefix("mqar") ? 0.95 : 0.856)
    }
    return (keys + others).compactMap { row, prefix, least in
      guard let series = row["series"]?.string, let length = row["length"]?.double,
        let accuracy = row["accuracy"]?.double
      else {
        return nil
      }
      return check(
        "\(prefix)\(series), \(Figure.length(length))", accuracy, ">= \(Figure.fixed(least, places: 3))",
        samples: row["samples"]?.integer ?? 0, passed: accuracy >= least)
    }
  }
}
