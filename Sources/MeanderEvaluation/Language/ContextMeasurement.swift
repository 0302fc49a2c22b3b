import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab perplexity --contexts`: what a longer past is worth. The same windows of text are scored after more and more
/// of what stands before them; every comparison is within a window, never between different texts.
///
/// With `own`, only that much of it stands right before each window, and one stretch of other text before that, which
/// is read once for all of them: for pasts so long that no window can have one of its own.
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
  /// How much of a context stands right before its window; nil where all of it does.
  package let own: Int?

  /// Throws `.badRequest` where the text has no room for a window and its longest context, and where a context is
  /// shorter than what of it is a window's own.
  package init(
    text: TextFiller, textName: String, contexts: [Int], windows: Int, window: Int, baseline: Int, own: Int? = nil
  ) throws {
    self.text = text
    self.textName = textName
    self.contexts = Array(Set(contexts + [baseline])).sorted()
    self.windows = windows
    self.window = window
    self.baseline = baseline
    self.own = own
    if let own, let shortest = self.contexts.first, shortest < own {
      throw MeanderError(
        .badRequest, "a context of \(shortest) bytes cannot end in \(own) bytes of the window's own past", at: textName,
        remedy: "Give longer contexts, baseline included, or less of a past of its own.")
    }
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
    ] + (own.map { [("own_past", JSON($0))] } ?? [])
  }

  package var units: [MeasurementUnit] {
    if let own {
      return contexts.map { MeasurementUnit("\($0)", bytes: $0 - own + windows * (own + window)) }
    }
    return contexts.flatMap { context in
      (0..<windows).map { MeasurementUnit("\(context)/\($0)", bytes: context + window) }
    }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    guard let own else {
      let first = try start(of: unit % windows)
      return try await score(first, after: contexts[unit / windows], stream.session(), stream)
    }
    let past = try stream.session()
    try await read(0..<contexts[unit] - own, past, stream)
    try await past.finishInput()
    var scored: [JSON] = []
    for window in 0..<windows {
      if Task.isCancelled { throw MeanderError(.cancelled, "the measurement was cancelled", at: units[unit].name) }
      scored.append(try await score(start(of: window), after: own, past.fork(), stream))
    }
    return JSON([("windows", .array(scored))])
  }

  /// Where a window begins. Windows lie evenly over what stands behind the longest context.
  private func start(of number: Int) throws -> Int {
    let longest = contexts.last ?? 0
    let room = text.byteCount - longest - 2 * window
    let share = (Double(number) + 0.5) / Double(windows)
    let wanted = longest + Int(share * Double(room))
    let line = try text.lineStart(from: wanted)
    // Behind the last line of all, the first one would follow.
    return (longest...text.byteCount - window).contains(line) ? line : wanted
  }

  /// Reads `count` bytes before the window at `first`, then scores it.
  private func score(_ first: Int, after count: Int, _ session: Session, _ stream: LabStream) async throws -> JSON {
    try await read(first - count..<first, session, stream)
    // Ended here whatever was read before, so that the window falls into the same tokens after every context.
    try await session.finishInput()
    let past = session.position
    let scores = try await stream.score(text.bytes(from: first, count: window), session, isFinal: true)
    return JSON([
      ("offset", JSON(first)), ("bits", JSON(scores.reduce(0) { $0 + $1.bits })), ("bytes", JSON(window)),
      ("tokens", JSON(scores.count)), ("past_tokens", JSON(Int(past))),
    ])
  }

  private func read(_ bytes: Range<Int>, _ session: Session, _ stream: LabStream) async throws {
    var place = bytes.lowerBound
    while place < bytes.upperBound {
      let piece = try text.bytes(from: place, count: min(1 << 16, bytes.upperBound - place))
      place += piece.count
      try await stream.read(piece, session)
    }
  }

  /// The same, by the context's place.
  private func outcome(_ outcomes: [JSON?], _ place: Int, _ window: Int) -> JSON? {
    guard own != nil else { return outcomes[place * windows + window] }
    return outcomes[place]?["windows"]?.array.flatMap { $0.indices.contains(window) ? $0[window] : nil }
  }

  /// What was found of a window after a context.
  private func found(_ outcomes: [JSON?], _ context: Int, _ window: Int) -> JSON? {
    contexts.firstIndex(of: context).flatMap { outcome(outcomes, $0, window) }
  }

  /// Bits a byte of `window` after `context` bytes of its past; nil where that was not measured.
  func bitsPerByte(_ outcomes: [JSON?], _ context: Int, _ window: Int) -> Double? {
    guard let outcome = found(outcomes, context, window), let bits = outcome["bits"]?.double,
      let bytes = outcome["bytes"]?.integer, bytes > 0
    else { return nil }
    return bits / Double(bytes)
  }

  /// The mean of the paired differences of two readings over the mean of the second; nil where no window has both.
  func difference(_ first: [JSON?], _ firstContext: Int, _ second: [JSON?], _ secondContext: Int) -> MeanInterval? {
    let pairs = (0..<windows).compactMap { window -> (Double, Double)? in
      guard let a = bitsPerByte(first, firstContext, window), let b = bitsPerByte(second, secondContext, window) else {
        return nil
      }
      return (a, b)
    }
    let base = pairs.reduce(0) { $0 + $1.1 } / Double(max(1, pairs.count))
    guard base > 0 else { return nil }
    return MeanInterval(pairs.map { ($0.0 - $0.1) / base })
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
      let tokens = (0..<windows).compactMap { found(outcomes, context, $0)?["past_tokens"]?.integer }
      if let fewest = tokens.min() { row.append(("past_tokens", JSON(fewest))) }
      if let change = difference(outcomes, context, outcomes, baseline) {
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
