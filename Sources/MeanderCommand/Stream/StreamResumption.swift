import Meander
import MeanderFiles

/// Brings an input to where a snapshot stands, and makes sure that it is the same input.
struct StreamResumption {
  let record: StreamRecord
  /// Whether the input goes on where the snapshot ends.
  let isHere: Bool

  /// Leaves `trail` with the bytes before the place, as far as they are known.
  func position(_ pump: inout InputPump, _ trail: inout InputTrail) throws {
    if isHere { return }
    if pump.reader.isSeekable {
      try seek(pump.reader, &trail)
    } else {
      try skip(&pump, &trail)
    }
    guard trail.agrees(with: record.trail) else {
      throw other("the \(record.trail.count) bytes before it are not those that were read", pump.reader.name)
    }
  }

  /// How far the input itself was read.
  private var place: Int64 { record.offset - record.inputStart }

  private func seek(_ reader: InputReader, _ trail: inout InputTrail) throws {
    let start = (reader.position ?? 0)
    let (end, overflow) = start.addingReportingOverflow(place)
    guard !overflow, let size = reader.size, end <= size else {
      throw other("the input has \((reader.size ?? 0) - start) bytes, fewer than were read", reader.name)
    }
    let known = min(Int64(record.trail.count), place)
    try reader.seek(to: end - known)
    var buffer: [UInt8] = []
    var missing = Int(known)
    while missing > 0 {
      guard let count = try reader.read(into: &buffer, upTo: missing) else {
        if Signals.interruptCount > 0 { throw Interrupted() }
        continue
      }
      guard count > 0 else { throw other("the input became shorter while it was read", reader.name) }
      trail.read(Array(buffer[..<count]))
      missing -= count
    }
  }

  private func skip(_ pump: inout InputPump, _ trail: inout InputTrail) throws {
    Console.note(
      "skipping the first \(grouped(place)) bytes of the input, which were read before (--resume-here does not skip)")
    var left = place
    while left > 0 {
      switch try pump.next(limit: left) {
      case .bytes(let bytes):
        trail.read(bytes)
        left -= Int64(bytes.count)
      case .pause, .report: continue
      case .end: throw other("the input ended \(grouped(left)) bytes before it", pump.reader.name)
      case .interrupt: throw Interrupted()
      }
    }
  }

  private func other(_ reason: String, _ input: String) -> MeanderError {
    MeanderError(
      .mismatch, "the input does not go on from the snapshot: \(reason)", at: "\(input), byte \(place)",
      remedy: """
        It was changed, rotated or cut. Give the input that was read before, go on with this one from its start with \
        --resume-here, or start anew without --resume.
        """)
  }
}
