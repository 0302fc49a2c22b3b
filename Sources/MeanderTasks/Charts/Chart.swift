/// A picture of one or more panels, drawn as SVG: what the lab and the trainer leave beside their reports.
///
/// The picture is drawn from figures alone and from nothing else, so that it always says what its report says.
package struct Chart: Sendable {
  package var title: String
  /// A line beneath the title: what was measured, how often.
  package var subtitle: String
  package var panels: [Panel]

  package init(title: String, subtitle: String = "", panels: [Panel]) {
    self.title = title
    self.subtitle = subtitle
    self.panels = panels
  }

  package enum Panel: Sendable {
    case lines(LinePanel)
    case heat(HeatPanel)
  }
}

/// Curves over one pair of axes.
package struct LinePanel: Sendable {
  package var title: String
  package var horizontal: Axis
  package var vertical: Axis
  package var series: [Series]

  package init(title: String, horizontal: Axis, vertical: Axis, series: [Series]) {
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.series = series
  }

  package struct Series: Sendable {
    package enum Style: Sendable {
      case line
      /// Points that are few enough to be told apart, joined by a line.
      case marked
      /// Raw values behind their median: thin and pale.
      case faint
    }

    package var name: String
    package var points: [Point]
    package var style: Style
    /// Which color it has; series of one number share it.
    package var color: Int

    package init(_ name: String, _ points: [Point], style: Style = .line, color: Int) {
      self.name = name
      self.points = points
      self.style = style
      self.color = color
    }
  }

  package struct Point: Sendable, Hashable {
    package var x: Double
    package var y: Double
    /// The interval that the true value lies in, where one is known.
    package var interval: ClosedRange<Double>?

    package init(_ x: Double, _ y: Double, interval: ClosedRange<Double>? = nil) {
      self.x = x
      self.y = y
      self.interval = interval
    }
  }
}

/// Values in [0, 1] over two lists of labels.
package struct HeatPanel: Sendable {
  package var title: String
  package var horizontal: String
  package var vertical: String
  package var columns: [String]
  package var rows: [String]
  /// By row, then column; nil where nothing was measured.
  package var values: [[Double?]]

  package init(
    title: String, horizontal: String, vertical: String, columns: [String], rows: [String], values: [[Double?]]
  ) {
    precondition(values.count == rows.count && values.allSatisfy { $0.count == columns.count }, "a heat map with holes")
    self.title = title
    self.horizontal = horizontal
    self.vertical = vertical
    self.columns = columns
    self.rows = rows
    self.values = values
  }
}
