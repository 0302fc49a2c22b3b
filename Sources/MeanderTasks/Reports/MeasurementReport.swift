import MeanderErrors
import MeanderFiles

/// A measurement's report: a JSON object with `results`, rows of `length`, `accuracy`, and perhaps `depth`, `low`,
/// `high` and `series`.
package struct MeasurementReport {
  private struct Row {
    let length: Double
    let depth: Double?
    let series: String
    let accuracy: Double
    let interval: ClosedRange<Double>?
  }

  private let rows: [Row]
  private let title: String
  private let subtitle: String

  /// Throws `.badData` where a row is not one, naming it.
  package init(_ json: JSON, path: String) throws {
    guard let results = json["results"]?.array, !results.isEmpty else {
      throw MeanderError(.badData, "the report has no results", at: path)
    }
    rows = try results.enumerated().map { number, row in
      let place = "\(path), results[\(number)]"
      guard let length = row["length"]?.double, length.isFinite, length > 0 else {
        throw MeanderError(.badData, "'length' must be a positive number", at: place)
      }
      guard let accuracy = row["accuracy"]?.double, (0...1).contains(accuracy) else {
        throw MeanderError(.badData, "'accuracy' must be a number from 0 to 1", at: place)
      }
      var interval: ClosedRange<Double>?
      if let low = row["low"]?.double, let high = row["high"]?.double {
        guard low <= high else { throw MeanderError(.badData, "'low' is above 'high'", at: place) }
        interval = low...high
      }
      return Row(
        length: length, depth: row["depth"]?.double, series: row["series"]?.string ?? "", accuracy: accuracy,
        interval: interval)
    }
    title = ["title", "task", "name"].lazy.compactMap { json[$0]?.string }.first ?? "Accuracy by length"
    var parts: [String] = []
    if let model = json["model"]?.string { parts.append(model) }
    if let samples = json["samples"]?.integer { parts.append("\(samples) samples a cell") }
    if let seed = json["seed"]?.integer { parts.append("seed \(seed)") }
    subtitle = parts.joined(separator: ", ")
  }

  /// A heat map where depths differ, else curves with their intervals.
  package func chart() -> Chart {
    let names = rows.map(\.series).firstOnes
    let depths = Set(rows.compactMap(\.depth)).sorted()
    let panels: [Chart.Panel] =
      depths.count > 1
      ? names.map { name in .heat(heat(rows.filter { $0.series == name }, name, depths)) } : [.lines(curves(names))]
    return Chart(title: title, subtitle: subtitle, panels: panels)
  }

  private func heat(_ rows: [Row], _ name: String, _ depths: [Double]) -> HeatPanel {
    let lengths = Set(rows.map(\.length)).sorted()
    let values = depths.map { depth in
      lengths.map { length in rows.first { $0.length == length && $0.depth == depth }?.accuracy }
    }
    return HeatPanel(
      title: name.isEmpty ? "accuracy in percent" : "\(name), accuracy in percent", horizontal: "length",
      vertical: "depth, percent", columns: lengths.map(Figure.length),
      rows: depths.map { Figure.fixed($0 * 100, places: 1) },
      values: values)
  }

  private func curves(_ names: [String]) -> LinePanel {
    let lengths = Set(rows.map(\.length)).sorted()
    let series = names.enumerated().map { color, name in
      LinePanel.Series(
        name,
        rows.filter { $0.series == name }.sorted { $0.length < $1.length }.map {
          .init($0.length, $0.accuracy, interval: $0.interval)
        }, style: .marked, color: color)
    }
    let hasIntervals = rows.contains { $0.interval != nil }
    return LinePanel(
      title: hasIntervals ? "accuracy, with its interval" : "accuracy",
      horizontal: Axis("length", .logarithmic, ticks: lengths.count <= 14 ? lengths : nil, format: Figure.length),
      vertical: Axis("percent", range: 0...1, format: Figure.percent), series: series)
  }
}

extension Array where Element: Hashable {
  /// Each element once, in the order in which they first come.
  fileprivate var firstOnes: [Element] {
    var seen: Set<Element> = []
    return filter { seen.insert($0).inserted }
  }
}
