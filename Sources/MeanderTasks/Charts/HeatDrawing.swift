extension Drawing {
  /// Draws a heat map into a cell: a colored field for each value, with the value in it where there is room.
  mutating func draw(_ panel: HeatPanel, _ x: Double, _ y: Double, _ width: Double, _ height: Double) {
    let left = x + 60 + (panel.rows.map { Self.width($0) }.max() ?? 0)
    let right = x + width - 22
    let top = y + 44
    let bottom = y + height - 58
    let cell = (
      width: (right - left) / Double(max(1, panel.columns.count)),
      height: (bottom - top) / Double(max(1, panel.rows.count))
    )
    text(panel.title, x + 24, y + 22, "t p")
    for (row, values) in panel.values.enumerated() {
      for (column, value) in values.enumerated() {
        let corner = (left + Double(column) * cell.width, top + Double(row) * cell.height)
        let place =
          "x=\"\(Self.number(corner.0 + 1))\" y=\"\(Self.number(corner.1 + 1))\" "
          + "width=\"\(Self.number(cell.width - 2))\" height=\"\(Self.number(cell.height - 2))\" rx=\"3\""
        guard let value, value.isFinite else {
          add("<rect \(place) class=\"n\"/>")
          continue
        }
        let color = Self.heat(value)
        add("<rect \(place) fill=\"\(color.fill)\"/>")
        if cell.width >= 38, cell.height >= 20 {
          text(
            Figure.fixed(value * 100, places: 0), corner.0 + cell.width / 2, corner.1 + cell.height / 2 + 5, "c",
            extra: " style=\"fill:\(color.text)\"")
        }
      }
    }
    drawLabels(panel.rows, cell.height, least: 17) { drawing, label, place in
      drawing.text(label, left - 9, top + place + 5, "e")
    }
    drawLabels(panel.columns, cell.width, least: (panel.columns.map { Self.width($0) }.max() ?? 0) + 6) {
      drawing, label, place in
      drawing.text(label, left + place, bottom + 21, "c")
    }
    text(panel.horizontal, (left + right) / 2, bottom + 45, "m c")
    let middle = (top + bottom) / 2
    let anchor = "\(Self.number(x + 37)) \(Self.number(middle))"
    text(panel.vertical, x + 37, middle, "m c", extra: " transform=\"rotate(-90 \(anchor))\"")
  }

  /// Every label that has `least` room to itself.
  private mutating func drawLabels(
    _ labels: [String], _ size: Double, least: Double, _ draw: (inout Drawing, String, Double) -> Void
  ) {
    let step = max(1, Int((least / max(1, size)).rounded(.up)))
    for number in stride(from: 0, to: labels.count, by: step) {
      draw(&self, labels[number], (Double(number) + 0.5) * size)
    }
  }

  /// From dark violet over green to yellow, growing lighter all the way; the text in it is what reads on it.
  private static func heat(_ value: Double) -> (fill: String, text: String) {
    let stops: [(Double, Double, Double)] = [
      (68, 30, 100), (52, 94, 141), (33, 145, 140), (94, 190, 98), (246, 222, 60),
    ]
    let place = min(1, max(0, value)) * Double(stops.count - 1)
    let low = min(stops.count - 2, Int(place))
    let share = place - Double(low)
    let (a, b) = (stops[low], stops[low + 1])
    let color = (a.0 + (b.0 - a.0) * share, a.1 + (b.1 - a.1) * share, a.2 + (b.2 - a.2) * share)
    let isLight = 0.299 * color.0 + 0.587 * color.1 + 0.114 * color.2 > 140
    return ("rgb(\(Int(color.0)),\(Int(color.1)),\(Int(color.2)))", isLight ? "#111" : "#fff")
  }
}
