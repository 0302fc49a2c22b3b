/// One line of the input and how much it surprised the model.
package struct ScoredLine: Sendable, Equatable {
  /// Where the line begins in the stream, in bytes.
  package var offset: Int64
  /// The line without its line break; at most `LineScorer.textLimit` bytes of it.
  package var text: [UInt8]
  /// How long the line is, its line break included.
  package var byteCount: Int64
  /// Surprisal of all tokens that begin in the line, in bits.
  package var bits: Double
  /// How far bits a byte lie above the running median, in running spreads; 0 for a stream's first lines.
  package var score: Double
  /// What the gauge had to say while the line was read.
  package var alarm: String?

  package var bitsPerByte: Double { byteCount == 0 ? 0 : bits / Double(byteCount) }
  package var isTruncated: Bool { Int64(text.count) < byteCount - 1 }
}

/// Splits a stream into lines and adds up the surprisal of each, in bounded memory.
///
/// What comes out depends on the sequence of tokens and bytes alone, never on how either was cut into calls.
package struct LineScorer: Sendable, Equatable {
  /// Text beyond this many bytes of a line is not kept; its bytes and bits are still counted.
  package static let textLimit = 1 << 16
  /// Lines before which every score is 0: a median of fewer means little.
  package static let warmUp: UInt64 = 16
  /// The least spread that a score is divided by, in bits a byte.
  package static let leastSpread = 0.05

  private var histogram = LineHistogram()
  private var line: ScoredLine
  /// Bytes that were read and that no token has spoken for yet.
  private var undecided: [UInt8] = []

  package init(offset: Int64 = 0) {
    line = ScoredLine(offset: offset, text: [], byteCount: 0, bits: 0, score: 0)
  }

  /// Bytes of the stream that were decided: every token up to here is known.
  private var decided: Int64 { line.offset + line.byteCount }

  /// Takes bytes that were read; they count once a token speaks for them.
  package mutating func read(_ bytes: some Collection<UInt8>) { undecided += bytes }

  /// A token as the lines see it: where it ends in the stream, its surprisal, and what the gauge said then.
  package typealias Decided = (end: Int64, bits: Double, alarm: String?)

  /// Takes the tokens that were decided, in order, and gives each line that they end.
  ///
  /// A token belongs to the line in which its first byte lies.
  package mutating func decide(_ tokens: some Sequence<Decided>, _ emit: (ScoredLine) throws -> Void)
    rethrows
  {
    var used = 0
    for token in tokens {
      line.bits += token.bits
      if let alarm = token.alarm { line.alarm = alarm }
      let end = min(used + Int(clamping: max(0, token.end - decided)), undecided.count)
      for byte in undecided[used..<end] {
        line.byteCount += 1
        if byte == UInt8(ascii: "\n") {
          try emit(close())
        } else if line.text.count < Self.textLimit {
          line.text.append(byte)
        }
      }
      used = end
    }
    undecided.removeFirst(used)
  }

  /// The last line of a stream that does not end in a line break, once all is decided.
  package mutating func finish() -> ScoredLine? { line.byteCount == 0 ? nil : close() }

  private mutating func close() -> ScoredLine {
    var closed = line
    if histogram.total >= Self.warmUp {
      let (median, spread) = histogram.medianAndSpread
      closed.score = (closed.bitsPerByte - median) / max(spread, Self.leastSpread)
    }
    histogram.add(closed.bitsPerByte)
    line = ScoredLine(offset: decided, text: [], byteCount: 0, bits: 0, score: 0)
    return closed
  }
}

extension LineScorer {
  /// Everything that the lines so far left behind, as bytes.
  package func recorded() -> [UInt8] {
    var record = RecordWriter()
    write(to: &record)
    return record.bytes
  }

  /// Reads what `recorded()` gave; anything else is `badData`.
  package init(recorded bytes: [UInt8]) throws {
    var record = RecordReader(bytes, name: "lines")
    try self.init(from: &record)
    try record.finish()
  }

  package func write(to record: inout RecordWriter) {
    histogram.write(to: &record)
    line.write(to: &record)
    record.put(undecided)
  }

  package init(from record: inout RecordReader) throws {
    histogram = try LineHistogram(from: &record)
    line = try ScoredLine(from: &record)
    undecided = try record.string(atMost: 1 << 24)
  }
}

extension ScoredLine {
  package func write(to record: inout RecordWriter) {
    record.put(offset)
    record.put(byteCount)
    record.put(bits)
    record.put(score)
    record.put(text)
    record.put(alarm != nil)
    record.put(Array((alarm ?? "").utf8))
  }

  package init(from record: inout RecordReader) throws {
    offset = try record.signed()
    byteCount = try record.signed()
    bits = try record.real()
    score = try record.real()
    text = try record.string(atMost: LineScorer.textLimit)
    let isAlarmed = try record.flag()
    let words = String(decoding: try record.string(atMost: 1 << 16), as: UTF8.self)
    alarm = isAlarmed ? words : nil
    let furthest: Int64 = 1 << 61
    guard (0...furthest).contains(offset), (Int64(text.count)...furthest).contains(byteCount) else {
      throw record.damaged()
    }
  }
}
