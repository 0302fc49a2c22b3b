import MeanderErrors
import MeanderFiles
import MeanderTasks
import Testing

@Suite struct ChartTests {
  @Test(arguments: [
    (0.0, "0"), (1, "1"), (0.25, "0.25"), (1500, "1500"), (12_345, "12.3k"), (999_600, "1M"), (2.5e9, "2.5G"),
    (-0.5, "-0.5"),
    (3e-5, "3e-5"), (0.00999, "0.00999"), (1.5e13, "1.5e13"), (9999.9, "10k"), (-1e-9, "-1e-9"), (.nan, "nan"),
    (.infinity, "inf"), (0.1 + 0.2, "0.3"), (999.7, "1000"), (9.996, "10"),
  ])
  func numbersAreShort(_ value: Double, _ text: String) {
    #expect(Figure.compact(value) == text)
  }

  @Test(arguments: [
    (512.0, "512"), (1024, "1K"), (65_536, "64K"), (1_000_000, "1M"), (1_048_576, "1M"), (1500, "1.5K"), (1e7, "10M"),
  ])
  func lengthsCountInKibi(_ value: Double, _ text: String) {
    #expect(Figure.length(value) == text)
  }

  @Test func sharesAreInPercent() {
    #expect([0, 0.5, 0.995, 1].map(Figure.percent) == ["0", "50", "99.5", "100"])
  }

  /// The texts and the points of a picture.
  private struct Picture {
    let texts: [String]
    let lines: [[(Double, Double)]]

    init(_ svg: String) {
      texts = svg.split(separator: "<text ").dropFirst().compactMap { part in
        guard let start = part.firstIndex(of: ">"), let end = part.firstIndex(of: "<") else { return nil }
        return String(part[part.index(after: start)..<end])
      }
      lines = svg.split(separator: "<polyline points=\"").dropFirst().map { part in
        part.prefix { $0 != "\"" }.split(separator: " ").compactMap { pair in
          let numbers = pair.split(separator: ",").compactMap { Double($0) }
          return numbers.count == 2 ? (numbers[0], numbers[1]) : nil
        }
      }
    }
  }

  private func panel(_ points: [(Double, Double)], _ scale: Axis.Scale = .linear, range: ClosedRange<Double>? = nil)
    -> Chart
  {
    let series = LinePanel.Series("", points.map { LinePanel.Point($0.0, $0.1) }, color: 0)
    return Chart(
      title: "A <b> & \"c\"",
      panels: [
        .lines(LinePanel(title: "p", horizontal: Axis("x", scale), vertical: Axis("y", range: range), series: [series]))
      ])
  }

  @Test func aCurveStandsWhereItsAxesSay() throws {
    let linear = Picture(panel([(0, 0), (5, 5), (10, 10)]).svg())
    let line = try #require(linear.lines.first)
    #expect(line.count == 3)
    #expect(abs(line[1].0 - (line[0].0 + line[2].0) / 2) < 0.02 && abs(line[1].1 - (line[0].1 + line[2].1) / 2) < 0.02)
    #expect(line[0].0 < line[2].0 && line[0].1 > line[2].1)
    for label in ["0", "2", "4", "6", "8", "10"] { #expect(linear.texts.contains(label)) }
    let logarithmic = try #require(Picture(panel([(1, 0), (100, 1), (10_000, 2)], .logarithmic).svg()).lines.first)
    #expect(abs(logarithmic[1].0 - (logarithmic[0].0 + logarithmic[2].0) / 2) < 0.02)
  }

  @Test(arguments: [
    [], [(1.0, 1.0)], [(0, 0), (0, 0)], [(1, .nan), (2, .infinity)], [(-1, -5), (0, 3)], [(1, 1e-300), (2, 1e300)],
    [(1, 5), (1.0001, 5.0001)],
  ])
  func everyDataIsDrawn(_ points: [(Double, Double)]) {
    for scale in [Axis.Scale.linear, .logarithmic] {
      let svg = panel(points, scale).svg()
      #expect(svg.hasPrefix("<svg ") && svg.hasSuffix("</svg>\n"))
      #expect(!svg.contains("nan") && !svg.contains("inf\""))
    }
  }

  @Test func textIsEscapedAndNothingRuns() {
    let svg = panel([(0, 0), (1, 1)]).svg()
    #expect(svg.contains("<title>A &lt;b&gt; &amp; &quot;c&quot;</title>"))
    #expect(!svg.contains("<b>") && !svg.contains("<script") && svg.contains("prefers-color-scheme:dark"))
  }

  @Test func aLongCurveStaysSmallAndKeepsItsExtremes() throws {
    var points = (0..<100_000).map { (Double($0), 1.0) }
    points[54_321].1 = 7
    let svg = panel(points, range: 0...7).svg()
    #expect(svg.utf8.count < 40_000)
    let line = try #require(Picture(svg).lines.first)
    #expect(line.count { $0.1 < (line.map(\.1).max() ?? 0) - 10 } == 1)
  }

  private func chart(_ text: String) throws -> Chart { try Report.chart(FileBytes(Array(text.utf8), path: "report")) }

  @Test func aTrainingLogShowsWhatItHolds() throws {
    let lines = (1...300).map { step in
      var line = #"{"step": \#(step), "loss": \#(6 - Double(step) / 100), "learning_rate": 0.001, "gradient_norm": 0.5"#
      if step.isMultiple(of: 100) {
        line += #", "evaluation": {"passkey": 0.5, "bits": 2.5}, "gauge": {"norm": [1, 2, 3]}"#
      }
      return line + "}"
    }
    let chart = try chart(lines.joined(separator: "\n"))
    let texts = Picture(chart.svg()).texts
    for text in [
      "Training run", "300 steps, last loss 3.25", "loss", "learning rate", "gradient norm", "evaluation: passkey",
      "evaluation: bits",
      "gauge: norm", "layer 0", "layer 2", "median of 31",
    ] {
      #expect(texts.contains(text), "\(text)")
    }
    #expect(!texts.contains("speed"))
    #expect(chart.panels.count == 6)
  }

  @Test func stepsThatWereDoneAgainCountOnce() throws {
    let chart = try chart(
      #"{"step": 1, "loss": 3}"# + "\n" + #"{"step": 2, "loss": 9}"# + "\n\n" + #"{"step": 2, "loss": 2}"# + "\n"
        + #"{"st"#)
    #expect(chart.subtitle == "2 steps, last loss 2.5")
  }

  @Test func aReportIsACurveOrAHeatMap() throws {
    let rows = [(1024, 1.0), (65_536, 0.5)].map {
      #"{"length": \#($0.0), "accuracy": \#($0.1), "low": 0.4, "high": 1}"#
    }
    let curve = try chart(#"{"task": "passkey", "samples": 200, "results": [\#(rows.joined(separator: ","))]}"#)
    let picture = Picture(curve.svg())
    #expect(Set(["passkey", "200 samples a cell", "1K", "64K", "100"]).isSubset(of: picture.texts))
    #expect(curve.svg().contains("<polygon"))
    let cells = [0.25, 0.75].flatMap { depth in
      [1024, 2048].map { #"{"length": \#($0), "depth": \#(depth), "accuracy": \#(depth)}"# }
    }
    let heat = try chart("{\n\"results\": [\(cells.dropLast().joined(separator: ","))]}")
    let texts = Picture(heat.svg()).texts
    #expect(texts.count { $0 == "25" } == 3 && texts.count { $0 == "75" } == 2)
  }

  @Test(arguments: [
    "", "nonsense", "{}", "[1, 2]", #"{"results": []}"#, #"{"results": [{"length": 4}]}"#,
    #"{"results": [{"length": 0, "accuracy": 1}]}"#,
    #"{"results": [{"length": 4, "accuracy": 1.5}]}"#, #"{"step": 1}"#,
    "{\"step\": 1, \"loss\": 2}\nnonsense\n{\"step\": 2}\n",
    "{\"step\": 1, \"loss\": 2}\n{\"loss\": 2}\n",
    #"{"results": [{"length": 4, "accuracy": 0.5, "low": 0.9, "high": 0.1}]}"#,
  ])
  func whatIsNoReportIsRefused(_ text: String) {
    let error = #expect(throws: MeanderError.self) { try chart(text) }
    #expect(error?.code == .badData)
  }
}
