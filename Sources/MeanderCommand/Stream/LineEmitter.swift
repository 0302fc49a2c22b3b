import MeanderTasks

/// Writes scored lines: rows of JSON for programs, score and text for people.
struct LineEmitter {
  private let output: Output
  private let isForTerminal: Bool
  private let withText: Bool
  /// Lines that do not score above this are left out; nil leaves out none.
  private let above: Double?
  /// Bytes written so far, those of earlier runs of a resumed stream included.
  private(set) var written: Int64

  init(_ output: Output, isForTerminal: Bool, withText: Bool, above: Double?, written: Int64) {
    self.output = output
    self.isForTerminal = isForTerminal
    self.withText = withText
    self.above = above
    self.written = written
  }

  func passes(_ line: ScoredLine) -> Bool { above.map { line.score > $0 } ?? true }

  /// Writes a line; `rank` is its place among the strangest.
  mutating func write(_ line: ScoredLine, rank: Int? = nil) throws {
    let bytes = format(line, rank: rank)
    try output.line(bytes)
    written += Int64(bytes.count + 1)
  }

  func flush() throws { try output.flush() }
  func synchronize() throws { try output.synchronize() }

  func format(_ line: ScoredLine, rank: Int?) -> [UInt8] {
    isForTerminal ? Self.terminal(line) : json(line, rank: rank)
  }

  private func json(_ line: ScoredLine, rank: Int?) -> [UInt8] {
    JSONText.object { row in
      row.field("offset", line.offset)
      if withText {
        row.field("text", text: line.text)
        if line.isTruncated { row.field("truncated", true) }
      }
      row.field("bits", line.bits, places: 3)
      row.field("bits_per_byte", line.bitsPerByte, places: 4)
      row.field("score", line.score, places: 3)
      line.alarm.map { row.field("alarm", $0) }
      rank.map { row.field("rank", $0) }
    }
  }

  /// What a terminal would take for a command becomes U+FFFD.
  private static func terminal(_ line: ScoredLine) -> [UInt8] {
    var text = decimal(line.score, places: 2).leftPadded(to: 8) + "  "
    for scalar in String(decoding: line.text, as: UTF8.self).unicodeScalars {
      let isControl = scalar.properties.generalCategory == .control && scalar != "\t"
      text.unicodeScalars.append(isControl ? "\u{FFFD}" : scalar)
    }
    if let alarm = line.alarm { text += "  [\(alarm)]" }
    return Array(text.utf8)
  }
}
