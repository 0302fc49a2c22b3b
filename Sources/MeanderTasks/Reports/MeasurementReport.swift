import MeanderErrors
import MeanderFiles

/// A measurement's report: a JSON object with `results`, rows of `length`, `accuracy`, `bits_per_byte`, `distance` or
/// `auc`, and perhaps `depth`, `low`, `high` and `series`; where there is `by_depth`, more rows of the same kind, and
/// in `panels` curves of other things.
package struct MeasurementReport {
  private struct Row {
    let length: Double
    let depth: Double?
    let series: String
    let value: Double
    let interval: ClosedRange<Double>?
  }

  /// What the rows tell of.
  private enum Quantity: String, CaseIterable {
    case accuracy
    case bitsPerByte = "bits_per_byte"
    case distance
    case area = "auc"

    var text: String {
      switch self {
      case .bitsPerByte: "bits a byte"
      case .area: "area under the curve"
      case .accuracy, .distance: rawValue
      }
    }
    /// What a value can be.
    var range: ClosedRange<Double> { self == .bitsPerByte ? 0...Double.greatestFiniteMagnitude : 0...1 }
  }

  private let rows: [Row]
  private let byDepth: [Row]
  private let quantity: Quantity
  private let title: String
  private let subtitle: String
  private let horizontal: String
  private let panels: [LinePanel]
  /// What tells this report from others in one picture, the likeliest first: mitigations, model, seed, and the file.
  private let labels: [String]

  /// Throws `.badData` where a row is not one, naming it.
  package init(_ json: JSON, path: String) throws {
    guard let results = json["results"]?.array, !results.isEmpty else {
      throw MeanderError(.badData, "the report has no results", at: path)
    }
    let quantity = Quantity.allCases.first { results[0][$0.rawValue] != nil } ?? .accuracy
    self.quantity = quantity
    rows = try results.enumerated().map { try Self.row($1, quantity, "\(path), results[\($0)]") }
    byDepth = try (json["by_depth"]?.array ?? []).enumerated().map {
      try Self.row($1, quantity, "\(path), by_depth[\($0)]")
    }
    title = ["title", "task", "name"].lazy.compactMap { json[$0]?.string }.first ?? "Accuracy by length"
    var parts: [String] = []
    if let model = json["model"]?.string { parts.append(model) }
    let counts = Set(results.compactMap { $0["samples"]?.integer })
    if let samples = json["samples"]?.integer ?? (counts.count == 1 ? counts.first : nil) {
      parts.append("\(samples) samples a cell")
    }
    if let mitigations = json["mitigations"]?.array?.compactMap(\.string) {
      parts.append(mitigations.joined(separator: ", "))
    }
    if let filler = json["filler"]?.string { parts.append("filler \(filler)") }
    if let seed = json["seed"]?.integer { parts.append("seed \(seed)") }
    if json["complete"]?.bool == false { parts.append("not complete") }
    subtitle = parts.joined(separator: ", ")
    let mitigations = json["mitigations"]?.array?.compactMap(\.string).joined(separator: " ")
    labels = [
      mitigations ?? "no mitigation", json["model"]?.string ?? "", json["seed"]?.integer.map { "seed \($0)" } ?? "",
      path,
    ]
    panels = try (json["panels"]?.array ?? []).enumerated().map {
      try ReportPanel.panel($1, path: "\(path), panels[\($0)]")
    }
    horizontal = json["length_unit"]?.string.map { "length, \($0)" } ?? "length"
  }

  private static func row(_ row: JSON, _ quantity: Quantity, _ place: String) throws -> Row {
    let key = quantity.rawValue
    guard let length = row["length"]?.double, length.isFinite, length > 0 else {
      throw MeanderError(.badData, "'length' must be a positive number", at: place)
    }
    guard let value = row[key]?.double, quantity.range.contains(value) else {
      throw MeanderError(
        .badData, "'\(key)' must be a number from 0\(quantity.range.upperBound == 1 ? " to 1" : "")", at: place)
    }
    var interval: ClosedRange<Double>?
    if let low = row["low"]?.double, let high = row["high"]?.double {
      guard low <= high else { throw MeanderError(.badData, "'low' is above 'high'", at: place) }
      interval = low...high
    }
    return Row(
      length: length, depth: row["depth"]?.double, series: row["series"]?.string ?? "", value: value, interval: interval
    )
  }

  /// Curves with their intervals and a heat map for each series that tells depths apart.
  package func chart() -> Chart {
    let names = rows.map(\.series).firstOnes
    let cells = byDepth.isEmpty && Set(rows.compactMap(\.depth)).count > 1 ? rows : byDepth
    let heats =
      quantity == .accuracy
      ? cells.map(\.series).firstOnes.map { name in Chart.Panel.heat(heat(cells.filter { $0.series == name }, name)) }
      : []
    let own = byDepth.isEmpty && !heats.isEmpty ? heats : [.lines(curves(rows, names))] + heats
    return Chart(title: title, subtitle: subtitle, panels: own + panels.map { .lines($0) })
  }

  /// Several reports of one quantity in one picture: a panel for each series, a curve for each report in it, named by
  /// the first thing in which they all differ. Throws `.badData` where they tell of different quantities.
  package static func chart(_ reports: [MeasurementReport]) throws -> Chart {
    guard let first = reports.first else { throw MeanderError(.badRequest, "there is no report to draw", at: "plot") }
    if let other = reports.first(where: { $0.quantity != first.quantity }) {
      throw MeanderError(
        .badData, "this tells of \(other.quantity.text), \(first.labels[3]) of \(first.quantity.text)",
        at: other.labels[3],
        remedy: "Draw them one by one.")
    }
    let place =
      first.labels.indices.first { place in Set(reports.map { $0.labels[place] }).count == reports.count } ?? 3
    let panels = reports.flatMap { $0.rows.map(\.series) }.firstOnes.map { name -> Chart.Panel in
      let rows = reports.map { report in report.rows.filter { $0.series == name } }
      var panel = first.curves(rows.flatMap { $0 }, [""])
      panel.title = name.isEmpty ? panel.title : "\(name): \(panel.title)"
      panel.series = zip(reports, rows).enumerated().filter { !$1.1.isEmpty }.map { color, pair in
        first.curve(pair.0.labels[place], pair.1, color)
      }
      return .lines(panel)
    }
    return Chart(title: first.title, subtitle: "\(reports.count) reports", panels: panels)
  }

  private func heat(_ rows: [Row], _ name: String) -> HeatPanel {
    let lengths = Set(rows.map(\.length)).sorted()
    let depths = Set(rows.compactMap(\.depth)).sorted()
    let values = depths.map { depth in
      lengths.map { length in rows.first { $0.length == length && $0.depth == depth }?.value }
    }
    return HeatPanel(
      title: name.isEmpty ? "accuracy in percent" : "\(name), accuracy in percent", horizontal: horizontal,
      vertical: "depth, percent", columns: lengths.map(Figure.length),
      rows: depths.map { Figure.fixed($0 * 100, places: 1) },
      values: values)
  }

  private func curve(_ name: String, _ rows: [Row], _ color: Int) -> LinePanel.Series {
    LinePanel.Series(
      name, rows.sorted { $0.length < $1.length }.map { .init($0.length, $0.value, interval: $0.interval) },
      style: .marked,
      color: color)
  }

  private func curves(_ rows: [Row], _ names: [String]) -> LinePanel {
    let lengths = Set(rows.map(\.length)).sorted()
    let series = names.enumerated().map { color, name in curve(name, rows.filter { $0.series == name }, color) }
    let what = quantity.text
    let hasIntervals = rows.contains { $0.interval != nil }
    return LinePanel(
      title: hasIntervals ? "\(what), with its interval" : what,
      horizontal: Axis(horizontal, .logarithmic, ticks: lengths.count <= 14 ? lengths : nil, format: Figure.length),
      vertical: quantity == .bitsPerByte ? Axis("bits a byte") : Axis("percent", range: 0...1, format: Figure.percent),
      series: series)
  }
}

extension Array where Element: Hashable {
  /// Each element once, in the order in which they first come.
  fileprivate var firstOnes: [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
