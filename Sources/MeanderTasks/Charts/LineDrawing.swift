extension Drawing {
  /// Draws a panel of curves into a cell.
  mutating func draw(_ panel: LinePanel, _ x: Double, _ y: Double, _ width: Double, _ height: Double, number: Int) {
    let shown = panel.series.map { series in
      series.points.filter { panel.horizontal.shows($0.x) && panel.vertical.shows($0.y) }
    }
    let horizontal = panel.horizontal.fitted(to: shown.flatMap { $0.map(\.x) }, tickCount: 6)
    let intervals = shown.flatMap { $0.compactMap(\.interval) }
    let vertical = panel.vertical.fitted(
      to: shown.flatMap { $0.map(\.y) } + intervals.flatMap { [$0.lowerBound, $0.upperBound] }, tickCount: 5)
    let labels = vertical.ticks.map(panel.vertical.format)
    let left = x + (panel.vertical.label.isEmpty ? 36 : 60) + (labels.map { Self.width($0) }.max() ?? 0)
    let right = x + width - 22
    let legend = Self.legendLines(of: panel, width: width)
    let top = y + 44 + Self.legendLine * Double(legend.count)
    let bottom = y + height - 58
    func place(_ point: (x: Double, y: Double)) -> (Double, Double) {
      (left + horizontal.place(point.x) * (right - left), bottom - vertical.place(point.y) * (bottom - top))
    }

    text(panel.title, x + 24, y + 22, "t p")
    for (line, entries) in legend.enumerated() { drawLegend(entries, x + 24, y + 48 + Self.legendLine * Double(line)) }
    for (tick, label) in zip(vertical.ticks, labels) {
      let height = place((horizontal.low, tick)).1
      line(left, height, right, height, "g")
      text(label, left - 9, height + 5, "e")
    }
    var free = -Double.infinity
    for tick in horizontal.ticks {
      let place = place((tick, vertical.low)).0
      let label = panel.horizontal.format(tick)
      line(place, bottom, place, bottom + 5, "a")
      // Labels that would run into each other are left out.
      guard place - Self.width(label) / 2 > free else { continue }
      text(label, place, bottom + 23, "c")
      free = place + Self.width(label) / 2 + 6
    }
    line(left, bottom, right, bottom, "a")
    text(panel.horizontal.label, (left + right) / 2, bottom + 45, "m c")
    let middle = (top + bottom) / 2
    let anchor = "\(Self.number(x + 37)) \(Self.number(middle))"
    text(panel.vertical.label, x + 37, middle, "m c", extra: " transform=\"rotate(-90 \(anchor))\"")

    add(
      "<clipPath id=\"p\(number)\"><rect x=\"\(Self.number(left - 4))\" y=\"\(Self.number(top - 4))\" "
        + "width=\"\(Self.number(right - left + 8))\" height=\"\(Self.number(bottom - top + 8))\"/></clipPath>")
    add("<g clip-path=\"url(#p\(number))\">")
    for (series, points) in zip(panel.series, shown) {
      let color = Color(series.color, of: panel)
      drawInterval(points, color, place)
      let points = Self.thinned(points.map { place(($0.x, $0.y)) })
      if points.count > 1 {
        let list = points.map { "\(Self.number($0.0)),\(Self.number($0.1))" }.joined(separator: " ")
        add("<polyline points=\"\(list)\" \(color.stroke(series.style == .faint ? "f" : nil))/>")
      }
      if series.style == .marked || points.count == 1 {
        for point in points {
          add("<circle cx=\"\(Self.number(point.0))\" cy=\"\(Self.number(point.1))\" r=\"4\" \(color.fill("d"))/>")
        }
      }
    }
    add("</g>")
  }

  private mutating func drawInterval(
    _ points: [LinePanel.Point], _ color: Color, _ place: ((x: Double, y: Double)) -> (Double, Double)
  ) {
    let points = points.filter { $0.interval != nil }
    if points.isEmpty { return }
    let upper = points.map { place(($0.x, $0.interval?.upperBound ?? $0.y)) }
    let lower = points.map { place(($0.x, $0.interval?.lowerBound ?? $0.y)) }
    if points.count == 1 {
      add(
        "<line x1=\"\(Self.number(upper[0].0))\" y1=\"\(Self.number(upper[0].1))\" x2=\"\(Self.number(lower[0].0))\" "
          + "y2=\"\(Self.number(lower[0].1))\" stroke-width=\"2\" \(color.stroke(nil))/>")
      return
    }
    let list = (upper + lower.reversed()).map { "\(Self.number($0.0)),\(Self.number($0.1))" }.joined(separator: " ")
    add("<polygon points=\"\(list)\" \(color.fill("i"))/>")
  }

  /// At most two points for each of some 600 columns, the lowest and the highest: a curve looks the same, a file
  /// stays small.
  private static func thinned(_ points: [(Double, Double)]) -> [(Double, Double)] {
    let columns = 600
    guard points.count > 3 * columns else { return points }
    var result: [(Double, Double)] = []
    for column in 0..<columns {
      let part = points[column * points.count / columns..<(column + 1) * points.count / columns]
      guard let low = part.indices.min(by: { part[$0].1 < part[$1].1 }),
        let high = part.indices.max(by: { part[$0].1 < part[$1].1 })
      else { continue }
      result += (low < high ? [low, high] : low > high ? [high, low] : [low]).map { part[$0] }
    }
    return result
  }

  /// A series' color: one of the palette's, or between blue and orange where there are too many series for it.
  private struct Color {
    private let index: Int
    private let mixed: String?

    init(_ index: Int, of panel: LinePanel) {
      self.index = index
      let last = panel.series.map(\.color).max() ?? 0
      guard last >= Drawing.colorCount else {
        mixed = nil
        return
      }
      let share = Double(index) / Double(last)
      let ends = ([58.0, 110, 220], [225.0, 110, 40])
      mixed = "rgb(" + zip(ends.0, ends.1).map { String(Int($0 + ($1 - $0) * share)) }.joined(separator: ",") + ")"
    }

    func stroke(_ style: String?) -> String {
      if let mixed { return "stroke=\"\(mixed)\"" + (style.map { " class=\"\($0)\"" } ?? "") }
      return "class=\"s\(index)\(style.map { " " + $0 } ?? "")\""
    }

    func fill(_ style: String) -> String {
      mixed.map { "fill=\"\($0)\" class=\"\(style)\"" } ?? "class=\"d\(index) \(style)\""
    }
  }

  private typealias Entry = (name: String, key: String)
  private static let legendLine = 24.0
  private static let mostLines = 4

  /// How much higher than with one line of legend a panel must be.
  static func legendExcess(of panel: LinePanel, width: Double) -> Double {
    legendLine * Double(max(0, legendLines(of: panel, width: width).count - 1))
  }

  /// What the legend names, as many to a line as fit: every named series, or of many the first, the middle and the last.
  /// What four lines do not hold is left out rather than drawn over the curves.
  private static func legendLines(of panel: LinePanel, width: Double) -> [[Entry]] {
    let named = panel.series.filter { !$0.name.isEmpty }
    guard named.count > 1 else { return [] }
    let kept = named.count <= colorCount ? named : [named[0], named[named.count / 2], named[named.count - 1]]
    var lines: [[Entry]] = []
    var free = 0.0
    for series in kept {
      let needed = entryWidth(series.name)
      if needed > free {
        lines.append([])
        free = width - 26
      }
      free -= needed + 12
      let color = Color(series.color, of: panel)
      lines[lines.count - 1].append((series.name, color.stroke(series.style == .faint ? "f" : nil)))
    }
    return Array(lines.prefix(mostLines))
  }

  private static func entryWidth(_ name: String) -> Double { 30 + width(name) }

  private mutating func drawLegend(_ entries: [Entry], _ left: Double, _ y: Double) {
    var x = left
    for entry in entries {
      let key = "\(Self.number(x)),\(Self.number(y - 5)) \(Self.number(x + 22)),\(Self.number(y - 5))"
      add("<polyline points=\"\(key)\" \(entry.key)/>")
      text(entry.name, x + 28, y, "m")
      x += Self.entryWidth(entry.name) + 12
    }
  }
}
