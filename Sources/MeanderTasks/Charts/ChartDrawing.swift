extension Chart {
  /// The picture as SVG: 960 wide, text of 15 and more, colors for light and for dark pages, no scripts.
  package func svg() -> String {
    let columns = panels.count == 1 ? 1 : 2
    let width = columns == 1 ? 880.0 : 464.0
    // Where a legend takes more than a line, all panels are higher by that much, so that no plot is squeezed.
    let excess = panels.map { panel -> Double in
      guard case .lines(let lines) = panel else { return 0 }
      return Drawing.legendExcess(of: lines, width: width)
    }
    let cell = (width: width, height: (columns == 1 ? 440 : 300) + (excess.max() ?? 0))
    let top = subtitle.isEmpty ? 64.0 : 92.0
    let rows = (panels.count + columns - 1) / columns
    let size = (
      width: Double(columns) * cell.width + (columns == 1 ? 0 : 16), height: top + Double(rows) * cell.height + 12
    )
    var drawing = Drawing()
    drawing.text(title, 24, 40, "t h")
    if !subtitle.isEmpty { drawing.text(subtitle, 24, 68, "m") }
    for (number, panel) in panels.enumerated() {
      let x = Double(number % columns) * (cell.width + 16)
      let y = top + Double(number / columns) * cell.height
      switch panel {
      case .lines(let panel): drawing.draw(panel, x, y, cell.width, cell.height, number: number)
      case .heat(let panel): drawing.draw(panel, x, y, cell.width, cell.height)
      }
    }
    return Drawing.wrap(drawing.body, title: title, width: size.width, height: size.height)
  }
}

/// SVG in the making.
struct Drawing {
  private(set) var body = ""
  /// Light and dark variants of the colors of series: told apart by color-blind readers too (Okabe and Ito).
  private static let palette = [
    ("#0072b2", "#58aee8"), ("#d55e00", "#ff9152"), ("#008f68", "#3fcf9f"), ("#b0558c", "#e79fc8"),
    ("#a87400", "#f0b93a"), ("#5a5a5a", "#b5b5b5"),
  ]
  static let colorCount = palette.count

  static func wrap(_ body: String, title: String, width: Double, height: Double) -> String {
    let size = "\(number(width)) \(number(height))"
    var style = """
      text{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;font-size:15px;fill:#333}
      .h{font-size:22px;font-weight:600}.p{font-size:17px;font-weight:600}.t{fill:#111}.m{fill:#555}.e{text-anchor:end}
      .c{text-anchor:middle}.b{fill:#fff}.g{stroke:#e3e3e3}.a{stroke:#999}.n{fill:#eee}
      polyline{fill:none;stroke-width:2.25;stroke-linejoin:round;stroke-linecap:round}
      .f{stroke-width:1;opacity:.35}.i{stroke:none!important;opacity:.18}.d{stroke:none!important}

      """
    for (color, (light, _)) in palette.enumerated() { style += ".s\(color){stroke:\(light)}.d\(color){fill:\(light)}" }
    style += "\n@media(prefers-color-scheme:dark){text{fill:#ccc}.t{fill:#f2f2f2}.m{fill:#aaa}.b{fill:#16181c}"
    style += ".g{stroke:#33373d}.a{stroke:#777}.n{fill:#2a2d33}"
    for (color, (_, dark)) in palette.enumerated() { style += ".s\(color){stroke:\(dark)}.d\(color){fill:\(dark)}" }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(size)" width="\(number(width))" \
      height="\(number(height))" role="img">
      <title>\(escaped(title))</title>
      <style>\(style)}</style>
      <rect class="b" width="100%" height="100%"/>
      \(body)</svg>

      """
  }

  mutating func add(_ element: String) { body += element + "\n" }

  mutating func text(_ text: String, _ x: Double, _ y: Double, _ style: String, extra: String = "") {
    add("<text x=\"\(Self.number(x))\" y=\"\(Self.number(y))\" class=\"\(style)\"\(extra)>\(Self.escaped(text))</text>")
  }

  mutating func line(_ x1: Double, _ y1: Double, _ x2: Double, _ y2: Double, _ style: String) {
    add(
      "<line x1=\"\(Self.number(x1))\" y1=\"\(Self.number(y1))\" x2=\"\(Self.number(x2))\" y2=\"\(Self.number(y2))\" "
        + "class=\"\(style)\"/>")
  }

  /// Two places are a hundredth of a pixel.
  static func number(_ value: Double) -> String { Figure.fixed(value, places: 2) }

  static func escaped(_ text: String) -> String {
    var result = ""
    for character in text.unicodeScalars {
      switch character {
      case "&": result += "&amp;"
      case "<": result += "&lt;"
      case ">": result += "&gt;"
      case "\"": result += "&quot;"
      // What XML has no place for.
      case "\u{0}"..."\u{8}", "\u{B}", "\u{C}", "\u{E}"..."\u{1F}", "\u{FFFE}", "\u{FFFF}": result += "\u{FFFD}"
      default: result.unicodeScalars.append(character)
      }
    }
    return result
  }

  /// About how wide `text` is in letters of `size`.
  static func width(_ text: String, size: Double = 15) -> Double { Double(text.count) * size * 0.56 }
}
