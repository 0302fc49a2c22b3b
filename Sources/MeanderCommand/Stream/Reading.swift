import Meander

/// Feeds standard input into a session whole, telling how far it is.
struct Reading {
  let session: Session
  /// Where the bytes go, where it is not the session alone.
  var feed: ((_ piece: [UInt8]) async throws -> Void)?

  /// Reads to the end. Throws `Interrupted` after a first interrupt, with the state at the last whole piece.
  func run() async throws {
    var pump = try InputPump.standard()
    var progress = Progress(total: pump.remaining)
    var bytes: Int64 = 0
    defer { if bytes > 0 { progress.finish(bytes: bytes, tokens: session.position) } }
    while true {
      switch try pump.next() {
      case .bytes(let piece):
        if let feed { try await feed(piece) } else { try await session.feed(bytes: piece) }
        bytes += Int64(piece.count)
      case .pause, .report: break
      case .end: return
      case .interrupt: throw Interrupted()
      }
      progress.update(bytes: bytes, tokens: session.position)
    }
  }
}
