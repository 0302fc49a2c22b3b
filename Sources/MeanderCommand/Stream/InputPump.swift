import MeanderErrors
import MeanderFiles

/// Reads an input piece by piece: what is there, when it is there, without waiting for more.
struct InputPump {
  enum Event {
    case bytes([UInt8])
    /// Nothing came for a while; the writer may still be there.
    case pause
    case end
    /// A first SIGINT or SIGTERM asks to come to an end.
    case interrupt
    /// SIGUSR1 asks for a report.
    case report
  }

  let reader: InputReader
  private var buffer: [UInt8] = []
  private let clock = ContinuousClock()
  private var lastPiece: (start: ContinuousClock.Instant, count: Int)?
  private var reportsSeen = 0
  /// Pieces grow or shrink until one takes about a tenth of a second, so that progress and signals are never
  /// far off, however slow the model.
  private var pieceSize = 512
  private static let pieceSizes = 512...(1 << 16)

  static func standard() throws -> InputPump { InputPump(try .standardInput()) }

  init(_ reader: InputReader) { self.reader = reader }

  /// How many bytes are left to read, where that is known.
  var remaining: Int64? {
    guard let size = reader.size, let position = reader.position else { return nil }
    return max(0, size - position)
  }

  /// The next thing that happens; at most `limit` bytes.
  mutating func next(limit: Int64 = .max) throws -> Event {
    measure()
    if Signals.interruptCount > 0 { return .interrupt }
    if Signals.reportCount > reportsSeen {
      reportsSeen = Signals.reportCount
      return .report
    }
    let count = Int(min(Int64(pieceSize), limit))
    guard let came = try reader.read(into: &buffer, upTo: count, timeout: 200) else { return .pause }
    guard came > 0 else { return .end }
    lastPiece = (clock.now, came)
    return .bytes(Array(buffer[..<came]))
  }

  /// What became of the last piece tells how large the next one should be.
  private mutating func measure() {
    guard let last = lastPiece else { return }
    lastPiece = nil
    let seconds = (clock.now - last.start).seconds
    if seconds < 0.07, last.count == pieceSize { pieceSize = min(pieceSize * 2, Self.pieceSizes.upperBound) }
    if seconds > 0.2 { pieceSize = max(pieceSize / 2, Self.pieceSizes.lowerBound) }
  }
}

/// Reads an input to its end, for commands that need no more than that.
struct Input {
  private var pump: InputPump

  static func standard() throws -> Input { Input(pump: try .standard()) }

  /// The next bytes; nil at the end. Throws `Interrupted` on an interrupt.
  mutating func next() throws -> [UInt8]? {
    while true {
      switch try pump.next() {
      case .bytes(let bytes): return bytes
      case .end: return nil
      case .pause, .report: continue
      case .interrupt: throw Interrupted()
      }
    }
  }
}

/// A first interrupt ended the work; whatever there was to write was written.
struct Interrupted: Error {}
