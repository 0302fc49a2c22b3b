import MeanderErrors
import MeanderFiles

/// A panel of curves as a report holds it, so that what its rows do not tell is drawn from the report all the same.
package struct ReportPanel: Sendable {
  package var title: String
  package var horizontal: String
  package var vertical: String
  /// Of the horizontal and the vertical axis.
  package var isLogarithmic: (Bool, Bool)
  /// Names and points.
  package var series: [(String, [JSON])]

  package init(
    title: String, horizontal: String, vertical: String, isLogarithmic: (Bool, Bool), series: [(String, [JSON])]
  ) {
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.isLogarithmic = isLogarithmic
    self.series = series
  }

  /// A point as reports hold it: [x, y], or [x, y, low, high].
  package static func point(_ x: Double, _ y: Double, low: Double? = nil, high: Double? = nil) -> JSON {
    .array(([x, y] + (low.flatMap { low in high.map { [low, $0] } } ?? [])).map { JSON($0) })
  }

  package var json: JSON {
    JSON([
      ("title", .string(title)), ("horizontal", .string(horizontal)), ("vertical", .string(vertical)),
      ("logarithmic", .array([.bool(isLogarithmic.0), .bool(isLogarithmic.1)])),
      ("series", .array(series.map { JSON([("name", .string($0.0)), ("points", .array($0.1))]) })),
    ])
  }

  /// The panel that a report holds. Throws `.badData` naming what is none.
  package static func panel(_ json: JSON, path: String) throws -> LinePanel {
    func wrong(_ what: String) -> MeanderError { MeanderError(.badData, what, at: path) }
    guard let list = json["series"]?.array else { throw wrong("'series' must be a list") }
    let series = try list.enumerated().map { number, entry -> LinePanel.Series in
      let points = try (entry["points"]?.array ?? []).map { point -> LinePanel.Point in
        let values = point.array?.compactMap(\.double) ?? []
        guard values.count == 2 || values.count == 4, values.count < 4 || values[2] <= values[3] else {
          throw wrong("a point must be [x, y] or [x, y, low, high]")
        }
        return LinePanel.Point(values[0], values[1], interval: values.count == 4 ? values[2]...values[3] : nil)
      }
      return .init(entry["name"]?.string ?? "", points, style: list.count > 8 ? .line : .marked, color: number)
    }
    let scales = json["logarithmic"]?.array?.compactMap(\.bool) ?? []
    func axis(_ name: String, _ place: Int) -> Axis {
      let isLogarithmic = scales.indices.contains(place) && scales[place]
      return Axis(
        json[name]?.string ?? "", isLogarithmic ? .logarithmic : .linear,
        format: place == 0 ? Figure.length : Figure.compact)
    }
    return LinePanel(
      title: json["title"]?.string ?? "", horizontal: axis("horizontal", 0), vertical: axis("vertical", 1),
      series: series)
  }
}
