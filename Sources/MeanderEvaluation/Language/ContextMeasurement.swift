import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab perplexity --contexts`: what a longer past is worth. The same windows of text are scored after more and more
/// of what stands before them; every comparison is within a window, never between different texts.
package struct ContextMeasurement: Measurement {
  package static let name = "context"

  package let text: TextFiller
  package let textName: String
  package let contexts: [Int]
  package let windows: Int
  /// Bytes of a window.
  package let window: Int
  /// The context that the others are compared with.
  package let baseline: Int

  /// Throws `.badRequest` where the text has no room for a window and its longest context.
  package init(text: TextFiller, textName: String, contexts: [Int], windows: Int, window: Int, baseline: Int) throws {
    self.text = text
    self.textName = textName
    self.contexts = Array(Set(contexts + [baseline])).sorted()
    self.windows = windows
    self.window = window
    self.baseline = baseline
    let longest = self.contexts.last ?? 0
    guard longest + 2 * window <= text.byteCount else {
      throw MeanderError(
        .badRequest,
        "a window of \(window) bytes behind \(longest) needs more than the \(text.byteCount) bytes of text",
        at: textName, remedy: "Give more text, or shorter contexts.")
    }
  }

  package var title: String { "Bits a byte of the same windows, by how much was read before" }
  package var settings: [(String, JSON)] {
    [
      ("text", .string(textName)), ("windows", JSON(windows)), ("window_bytes", JSON(window)),
      ("baseline", JSON(baseline)),
      ("longest_context", JSON(contexts.last ?? 0)),
      ("length_unit", .string("bytes")),
    ]
  }

  package var units: [MeasurementUnit] {
    contexts.flatMap { context in
      (0..<windows).map { MeasurementUnit("\(context)/\($0)", bytes: context + window) }
    }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let context = contexts[unit / windows]
    let longest = contexts.last ?? 0
    // Windows lie evenly over what stands behind the longest context.
    let room = text.byteCount - longest - 2 * window
    let share = (Double(unit % windows) + 0.5) / Double(windows)
    let wanted = longest + Int(share * Double(room))
    let line = try text.lineStart(from: wanted)
    // Behind the last line of all, the first one would follow.
    let first = (longest...text.byteCount - window).contains(line) ? line : wanted
    let session = try stream.session()
    var place = first - context
    while place < first {
      let piece = try text.bytes(from: place, count: min(1 << 16, first - place))
      place += piece.count
      try await stream.read(piece, session)
    }
    // Ended here whatever was read before, so that the window falls into the same tokens after every context.
    try await session.finishInput()
    let scores = try await stream.score(text.bytes(from: first, count: window), session, isFinal: true)
    return JSON([
      ("offset", JSON(first)), ("bits", JSON(scores.reduce(0) { $0 + $1.bits })), ("bytes", JSON(window)),
      ("tokens", JSON(scores.count)),
    ])
  }

  /// Bits a byte of `window` after `context` bytes of its past; nil where that was not measured.
  func bitsPerByte(_ outcomes: [JSON?], _ context: Int, _ window: Int) -> Double? {
    guard let place = contexts.firstIndex(of: context), let outcome = outcomes[place * windows + window],
      let bits = outcome["bits"]?.double, let bytes = outcome["bytes"]?.integer, bytes > 0
    else { return nil }
    return bits / Double(bytes)
  }

  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    func value(_ context: Int, _ window: Int) -> Double? { bitsPerByte(outcomes, context, window) }
    var relative: [JSON] = []
    let rows = contexts.compactMap { context -> JSON? in
      let values = (0..<windows).compactMap { value(context, $0) }
      if values.isEmpty { return nil }
      let mean = MeanInterval(values)
      var row: [(String, JSON)] = [
        ("series", .string("the same windows")), ("length", JSON(context)), ("samples", JSON(values.count)),
        ("bits_per_byte", JSON(mean.mean)), ("low", JSON(max(0, mean.interval.lowerBound))),
        ("high", JSON(mean.interval.upperBound)),
      ]
      let pairs = (0..<windows).compactMap { window in
        value(context, window).flatMap { here in value(baseline, window).map { (here, $0) } }
      }
      let base = pairs.reduce(0) { $0 + $1.1 } / Double(max(1, pairs.count))
      if !pairs.isEmpty, base > 0 {
        // The mean of the differences over the mean of what they are compared with.
        let change = MeanInterval(pairs.map { ($0.0 - $0.1) / base })
        row += [
          ("change", JSON(change.mean)), ("change_low", JSON(change.interval.lowerBound)),
          ("change_high", JSON(change.interval.upperBound)),
        ]
        relative.append(
          ReportPanel.point(
            Double(context), change.mean * 100, low: change.interval.lowerBound * 100,
            high: change.interval.upperBound * 100))
      }
      return JSON(row)
    }
    let panel = ReportPanel(
      title: "change against \(Figure.length(Double(baseline))) of past, percent, paired", horizontal: "past, bytes",
      vertical: "percent", isLogarithmic: (true, false), series: [("", relative)])
    return [("results", .array(rows)), ("panels", .array(relative.isEmpty ? [] : [panel.json]))]
  }
}
