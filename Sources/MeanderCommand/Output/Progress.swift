import MeanderFiles

/// How far the reading is, on standard error: a line that redraws itself on a terminal, else a line now and
/// then.
///
/// The first report comes within two seconds of the first byte.
struct Progress {
  /// How many bytes there are to read, where that is known.
  private let total: Int64?
  private let clock = ContinuousClock()
  private let isTerminal = Terminal.isTerminal(.error)
  private let start: ContinuousClock.Instant
  private var lastReport: ContinuousClock.Instant
  private var reports = 0
  /// The reading a few seconds ago, for a speed that follows changes.
  private var mark: (time: ContinuousClock.Instant, bytes: Int64)
  private var isDrawn = false

  init(total: Int64?) {
    self.total = total
    start = clock.now
    lastReport = start
    mark = (start, 0)
  }

  /// Reports when it is time to; `bytes` were read since the start of this run, `tokens` are in the state.
  mutating func update(bytes: Int64, tokens: Int64) {
    let now = clock.now
    let wait: Duration = reports == 0 ? .seconds(1) : isTerminal ? .milliseconds(200) : .seconds(5)
    guard now - lastReport >= wait, bytes > 0 else { return }
    lastReport = now
    reports += 1
    let elapsed = (now - mark.time).seconds
    let speed = elapsed > 0 ? Double(bytes - mark.bytes) / elapsed : 0
    if elapsed > 10 { mark = (now, bytes) }
    var parts = [size(bytes), "\(size(Int64(speed)))/s"]
    if let total, total > 0 {
      parts.insert("\(min(100, bytes * 100 / total)) %", at: 0)
      if speed > 0 { parts.append("ETA \(duration(seconds: Double(max(0, total - bytes)) / speed))") }
    }
    parts.append("\(scaled(Double(tokens)).trimmedEnd) tokens")
    parts.append("RSS \(size(ProcessMemory.resident))")
    draw(parts.joined(separator: "  "))
  }

  /// The whole run in one line.
  mutating func finish(bytes: Int64, tokens: Int64) {
    clear()
    let seconds = (clock.now - start).seconds
    let speed = seconds > 0 ? size(Int64(Double(bytes) / seconds)) + "/s" : ""
    Console.note(
      "read \(grouped(bytes)) bytes in \(decimal(seconds, places: 1)) s (\(speed)), "
        + "\(grouped(tokens)) tokens in the state, peak RSS \(size(ProcessMemory.peak))")
  }

  /// Removes the bar, so that other text may be written where it stood.
  mutating func clear() {
    guard isDrawn else { return }
    Console.write("\r\u{1B}[K")
    isDrawn = false
  }

  private mutating func draw(_ text: String) {
    guard isTerminal else { return Console.note(text) }
    Console.write("\r\u{1B}[K" + String(text.prefix(max(20, (Terminal.width(.error) ?? 80) - 1))))
    isDrawn = true
  }
}
