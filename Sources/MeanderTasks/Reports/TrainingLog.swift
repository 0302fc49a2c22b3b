import MeanderErrors
import MeanderFiles

/// What a training run wrote down: one JSON object a line, one line a step.
package struct TrainingLog {
  private var rows: [Row] = []
  private let path: String

  private struct Row {
    let step: Int
    let values: JSON
  }

  /// Reads a log. A last line that the run had not finished writing is passed over; steps that a resumed run did again
  /// count as the last of them has it. Throws `.badData` naming the line.
  package init(_ file: FileBytes) throws {
    path = file.path
    var start = 0
    var number = 0
    while start < file.count {
      let end = (start..<file.count).first { file[$0] == UInt8(ascii: "\n") }
      number += 1
      let line = file.copy(start..<(end ?? file.count))
      start = (end ?? file.count) + 1
      if line.allSatisfy({ $0 == UInt8(ascii: " ") || $0 == UInt8(ascii: "\r") || $0 == UInt8(ascii: "\t") }) {
        continue
      }
      do {
        try add(line, number)
      } catch where end == nil && !rows.isEmpty {
        break
      }
    }
    guard !rows.isEmpty else { throw MeanderError(.badData, "the log has no steps", at: path) }
  }

  private mutating func add(_ line: [UInt8], _ number: Int) throws {
    let values = try JSON.parse(FileBytes(line, path: "\(path), line \(number)"))
    guard let step = values["step"]?.integer else {
      throw MeanderError(
        .badData, "this line tells of no step", at: "\(path), line \(number)",
        remedy: "Every line of a training log is an object with \"step\".")
    }
    while let last = rows.last, last.step >= step { rows.removeLast() }
    rows.append(Row(step: step, values: values))
  }

  /// The values of a key over steps, those that are there and are numbers.
  private func points(_ value: (JSON) -> Double?) -> [LinePanel.Point] {
    rows.compactMap { row in value(row.values).flatMap { $0.isFinite ? LinePanel.Point(Double(row.step), $0) : nil } }
  }

  /// The panels for what the log holds. Throws `.badData` where there is nothing to draw.
  package func chart() throws -> Chart {
    let loss = points { $0["loss"]?.double }
    let curves = [
      median("loss", "nats a token", loss, .linear),
      panel("learning rate", "", points { $0["learning_rate"]?.double }, from: 0),
      median("gradient norm", "before clipping", points { $0["gradient_norm"]?.double }, .logarithmic),
      median("speed", "tokens a second", points { $0["tokens_per_second"]?.double }, .linear),
    ].compactMap { $0 }
    let panels = curves + evaluations() + gauges()
    guard !panels.isEmpty else {
      throw MeanderError(.badData, "the log holds nothing that can be drawn", at: path)
    }
    var parts = ["\(rows.count) steps"]
    if let last = runningMedian(loss.suffix(51).map(\.y), span: 101).last {
      parts.append("last loss \(Figure.compact(last))")
    }
    return Chart(title: "Training run", subtitle: parts.joined(separator: ", "), panels: panels.map { .lines($0) })
  }

  private func panel(_ title: String, _ label: String, _ points: [LinePanel.Point], from: Double? = nil) -> LinePanel? {
    guard !points.isEmpty else { return nil }
    let highest = points.map(\.y).max() ?? 1
    let range = from.flatMap { highest > $0 ? $0...highest * 1.05 : nil }
    return LinePanel(
      title: title, horizontal: Axis("step"), vertical: Axis(label, range: range), series: [.init("", points, color: 0)]
    )
  }

  /// Raw values, pale, and their running median; rare outliers may leave the panel.
  private func median(_ title: String, _ label: String, _ points: [LinePanel.Point], _ scale: Axis.Scale)
    -> LinePanel?
  {
    guard !points.isEmpty else { return nil }
    let span = max(1, min(101, points.count / 10 | 1))
    let smooth = zip(points, runningMedian(points.map(\.y), span: span)).map { LinePanel.Point($0.x, $1) }
    var range: ClosedRange<Double>?
    let sorted = points.map(\.y).filter { scale == .linear || $0 > 0 }.sorted()
    if sorted.count >= 200 {
      let low = min(sorted[sorted.count / 200], smooth.map(\.y).min() ?? .infinity)
      let high = max(sorted[sorted.count - 1 - sorted.count / 200], smooth.map(\.y).max() ?? -.infinity)
      if low < high, scale == .linear || low > 0 { range = low...high }
    }
    return LinePanel(
      title: title, horizontal: Axis("step"), vertical: Axis(label, scale, range: range),
      series: span == 1
        ? [.init("", points, color: 0)]
        : [.init("each step", points, style: .faint, color: 0), .init("median of \(span)", smooth, color: 0)])
  }

  /// Shares in one panel, whatever else was measured in another.
  private func evaluations() -> [LinePanel] {
    let names = keys("evaluation")
    let series = names.map { name in (name, points { $0["evaluation"]?[name]?.double }) }.filter { !$0.1.isEmpty }
    let shares = series.filter { $0.1.allSatisfy { (0...1).contains($0.y) } }
    let others = series.filter { series in !shares.contains { $0.0 == series.0 } }
    return [("evaluation, shares", shares, 0...1), ("evaluation", others, nil)].compactMap { title, series, range in
      if series.isEmpty { return nil }
      return LinePanel(
        title: series.count == 1 ? "evaluation: \(series[0].0)" : title, horizontal: Axis("step"),
        vertical: Axis("", range: range),
        series: series.enumerated().map { .init($1.0, $1.1, style: $1.1.count <= 40 ? .marked : .line, color: $0) })
    }
  }

  /// A panel for each gauge, a curve for each layer.
  private func gauges() -> [LinePanel] {
    keys("gauge").compactMap { name in
      let layers = rows.map { $0.values["gauge"]?[name]?.array?.count ?? 0 }.max() ?? 0
      let series = (0..<layers).map { layer in
        points { values in
          guard let list = values["gauge"]?[name]?.array, layer < list.count else { return nil }
          return list[layer].double
        }
      }
      let all = series.flatMap { $0.map(\.y) }
      guard let low = all.min(), let high = all.max() else { return nil }
      return LinePanel(
        title: "gauge: \(name)", horizontal: Axis("step"),
        vertical: Axis("each layer", low > 0 && high > 30 * low ? .logarithmic : .linear),
        series: series.enumerated().map { .init("layer \($0)", $1, color: $0) })
    }
  }

  /// The names inside `key`, in the order in which they first come.
  private func keys(_ key: String) -> [String] {
    var names: [String] = []
    for row in rows {
      for name in row.values[key]?.object?.keys ?? [] where !names.contains(name) { names.append(name) }
    }
    return names
  }
}
