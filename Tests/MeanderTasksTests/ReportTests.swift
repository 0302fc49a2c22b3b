import Foundation
import MeanderErrors
import MeanderFiles
import MeanderTasks
import Testing

@Suite struct MeanIntervalTests {
  @Test(arguments: [
    (2, 12.7062), (3, 4.30265), (4, 3.18245), (6, 2.57058), (16, 2.13145), (31, 2.04227), (1001, 1.96234),
  ])
  func theIntervalIsStudents(_ count: Int, _ quantile: Double) {
    // Values ±1 have a mean of about 0; their spread is known.
    let values = (0..<count).map { $0.isMultiple(of: 2) ? 1.0 : -1.0 }
    let mean = values.reduce(0, +) / Double(count)
    let variance = values.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(count - 1)
    let found = MeanInterval(values)
    #expect(found.mean == mean)
    let half = (found.interval.upperBound - found.interval.lowerBound) / 2
    #expect(abs(half / (variance / Double(count)).squareRoot() - quantile) < 2e-3 * quantile)
  }

  @Test func oneValueHasNoSpread() { #expect(MeanInterval([3]).interval == 3...3) }
}

@Suite struct MeasurementReportTests {
  private func picture(_ text: String) throws -> String {
    try Report.chart(FileBytes(Array(text.utf8), path: "report.json")).svg()
  }

  @Test func lossesPanelsAndDepthsAreDrawn() throws {
    let losses = try picture(
      #"{"results": [{"series": "carried", "length": 128, "bits_per_byte": 2.5, "low": 2.4, "high": 2.6}], "panels": "#
        + #"[{"title": "a panel", "logarithmic": [true, false], "series": [{"name": "h", "points": [[1, 2], [2, 3, 2.5, 3.5]]}]}]}"#
    )
    #expect(losses.contains("bits a byte") && losses.contains("a panel"))
    let depths = try picture(
      #"{"length_unit": "bytes", "results": [{"length": 128, "accuracy": 0.5}], "#
        + #""by_depth": [{"length": 128, "depth": 0.25, "accuracy": 0.5}]}"#)
    #expect(depths.contains("length, bytes") && depths.contains(">25<") && depths.contains(">50<"))
  }

  @Test func aLegendGoesOnInFurtherLines() throws {
    func picture(_ count: Int) throws -> String {
      let rows = (0..<count).map { #"{"series": "a wording of many letters, number \#($0)", "length": 128, "accuracy": 0.5}"# }
      return try self.picture(#"{"results": [\#(rows.joined(separator: ", "))]}"#)
    }
    let six = try picture(6)
    for number in 0..<6 { #expect(six.contains(">a wording of many letters, number \(number)<")) }
    func height(_ svg: String) -> Double? { svg.components(separatedBy: "height=\"")[1].split(separator: "\"").first.flatMap { Double($0) } }
    let heights = try [#require(height(six)), #require(height(try picture(2)))]
    #expect(heights[0] - heights[1] == 48, "two to a line")
  }

  @Test func severalReportsAreOnePicture() throws {
    func file(_ mitigations: String, _ value: String, _ name: String) -> FileBytes {
      let text = #"{"mitigations": \#(mitigations), "results": [{"series": "text", "length": 128, \#(value)}]}"#
      return FileBytes(Array(text.utf8), path: name)
    }
    let plain = file(#""none""#, #""bits_per_byte": 2.5"#, "a.json")
    let cured = file(#"["reset:tokens=512"]"#, #""bits_per_byte": 2.4"#, "b.json")
    let both = try Report.chart([plain, cured]).svg()
    #expect(both.contains("no mitigation") && both.contains("reset:tokens=512") && both.contains("text: bits a byte"))
    // Where mitigations, models and seeds are the same, files are told apart.
    #expect(try Report.chart([plain, file(#""none""#, #""bits_per_byte": 2.4"#, "c.json")]).svg().contains("c.json"))
    #expect(throws: MeanderError.self) { try Report.chart([plain, file(#""none""#, #""accuracy": 0.5"#, "d.json")]) }
  }

  @Test(arguments: [
    #"{"results": [{"length": 128, "bits_per_byte": -1}]}"#, #"{"results": [{"length": 0, "accuracy": 1}]}"#,
    #"{"results": [{"length": 1, "accuracy": 1.5}]}"#,
    #"{"results": [{"length": 1, "accuracy": 1}], "panels": [{"series": [{"points": [[1]]}]}]}"#,
    #"{"results": [{"length": 1, "accuracy": 1}], "panels": [{}]}"#,
    #"{"results": [{"length": 1, "accuracy": 1}], "by_depth": [{"depth": 1}]}"#,
  ])
  func whatIsNoRowIsRefused(_ text: String) {
    #expect(throws: MeanderError.self) { try picture(text) }
  }
}
