import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import Synchronization

/// How far a measurement is, on standard error: a line that redraws itself on a terminal, else a line now and then.
final class LabProgress: Sendable {
  private struct State {
    var last: ContinuousClock.Instant
    var isDrawn = false
  }

  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private let isTerminal = Terminal.isTerminal(.error)
  private let state: Mutex<State>

  init() {
    start = clock.now
    state = Mutex(State(last: start))
  }

  func update(_ progress: MeasurementRun.Progress) {
    let now = clock.now
    state.withLock { state in
      guard now - state.last >= (isTerminal ? .milliseconds(200) : .seconds(10)) else { return }
      state.last = now
      let elapsed = (now - start).seconds
      let speed = Double(progress.bytes) / max(0.001, elapsed)
      let left = Double(max(0, progress.totalBytes - progress.bytes)) / max(1, speed)
      let text = [
        "\(grouped(progress.unitsDone)) of \(grouped(progress.units))", size(progress.bytes), "\(size(Int64(speed)))/s",
        // Of what has not begun nobody knows when it ends.
        progress.bytes > 0 ? "ETA \(duration(seconds: left))" : "",
      ].joined(separator: "  ")
      guard isTerminal else { return Console.note(text) }
      Console.write("\r\u{1B}[K" + String(text.prefix(max(20, (Terminal.width(.error) ?? 80) - 1))))
      state.isDrawn = true
    }
  }

  func finish() {
    state.withLock { state in
      if state.isDrawn { Console.write("\r\u{1B}[K") }
      state.isDrawn = false
    }
  }
}

/// The rows of a report as a table.
struct LabTable {
  let lines: [String]

  /// Those of `columns` that any row has; intervals as percent where the row tells of shares.
  init(_ report: JSON, _ columns: [String], of key: String = "results") {
    let rows = report[key]?.array ?? []
    let columns = columns.filter { column in rows.contains { $0[column] != nil } }
    let cells = rows.map { row in columns.map { Self.text(row[$0], of: $0) } }
    let widths = columns.enumerated().map { place, column in
      ([column.count] + cells.map { $0[place].count }).max() ?? 0
    }
    func line(_ texts: [String]) -> String {
      "| "
        + zip(texts, widths).enumerated().map { place, cell in
          place == 0 ? cell.0.rightPadded(to: cell.1) : cell.0.leftPadded(to: cell.1)
        }.joined(separator: " | ") + " |"
    }
    let rule = "| " + widths.map { String(repeating: "-", count: $0) }.joined(separator: " | ") + " |"
    lines = rows.isEmpty || columns.isEmpty ? [] : [line(columns), rule] + cells.map(line)
  }

  private static let shares: Set<String> = [
    "accuracy", "low", "high", "clustered_low", "clustered_high", "invented", "invented_low", "invented_high", "change",
    "change_low", "change_high",
  ]

  private static func text(_ value: JSON?, of column: String) -> String {
    guard let value else { return "" }
    if let text = value.string { return text }
    if let flag = value.bool { return flag ? "yes" : "no" }
    if value == .null { return "" }
    if ["length", "position"].contains(column), let number = value.double { return Figure.length(number) }
    if let whole = value.integer, !shares.contains(column) { return String(whole) }
    return value.double.map { decimal($0, places: shares.contains(column) ? 3 : 4) } ?? ""
  }
}
