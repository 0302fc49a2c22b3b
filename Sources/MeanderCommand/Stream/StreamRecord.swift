import Meander
import MeanderTasks

/// What a stream keeps beside the state, so that a later run goes on as if there had been one.
struct StreamRecord: Equatable {
  /// Bytes of the stream that were read.
  var offset: Int64 = 0
  /// Where the input's first byte stands in the stream; more than 0 after --resume-here.
  var inputStart: Int64 = 0
  /// Bytes that were written to the output.
  var written: Int64 = 0
  var trail = InputTrail.Mark(count: 0, digest: InputTrail().digest)
  /// The unfinished line and the running statistics; nil where nothing is emitted.
  var scorer: LineScorer?
  var strangest = StrangestLines(capacity: 0)
  /// The n-gram that is mixed in, if one is.
  var mixture: StreamMixture?

  // The names in a snapshot (Docs/StateFormat.md).
  private static let offsetName = "stream.offset"
  private static let startName = "stream.input_start"
  private static let writtenName = "stream.written"
  private static let trailCountName = "stream.trail_bytes"
  private static let trailDigestName = "stream.trail_fnv1a64"
  private static let linesName = "stream.lines"
  private static let mixtureName = "stream.mixture"

  func write(to snapshot: inout Snapshot) {
    snapshot.notes[Self.offsetName] = String(offset)
    snapshot.notes[Self.startName] = String(inputStart)
    snapshot.notes[Self.writtenName] = String(written)
    snapshot.notes[Self.trailCountName] = String(trail.count)
    snapshot.notes[Self.trailDigestName] = String(trail.digest, radix: 16)
    if let mixture {
      var record = RecordWriter()
      mixture.write(to: &record)
      snapshot.attachments[Self.mixtureName] = record.bytes
    }
    guard let scorer else { return }
    var record = RecordWriter()
    scorer.write(to: &record)
    strangest.write(to: &record)
    snapshot.attachments[Self.linesName] = record.bytes
  }

  init() {}

  /// Reads what `write(to:)` left.
  ///
  /// - Parameters:
  ///   - path: the snapshot's file, for messages.
  ///   - top: how many of the strangest lines are kept from here on.
  init(_ snapshot: Snapshot, path: String, top: Int) throws {
    func number(_ name: String) throws -> Int64 {
      guard let text = snapshot.notes[name] else {
        throw MeanderError(
          .badData, "this state was not written by stream --snapshot", at: path,
          remedy: "Start from it with --load \(path), and leave --resume out.")
      }
      guard let value = Int64(text), (0...1 << 62).contains(value) else {
        throw MeanderError(.badData, "\(name) is no count", at: path, remedy: "Start anew without --resume.")
      }
      return value
    }
    offset = try number(Self.offsetName)
    inputStart = try number(Self.startName)
    written = try number(Self.writtenName)
    let count = try number(Self.trailCountName)
    guard let digest = snapshot.notes[Self.trailDigestName].flatMap({ UInt64($0, radix: 16) }),
      count <= InputTrail.reach, count <= offset, inputStart <= offset
    else {
      throw MeanderError(.badData, "the stream's place in its input is damaged", at: path)
    }
    trail = InputTrail.Mark(count: Int(count), digest: digest)
    if let bytes = snapshot.attachments[Self.mixtureName] {
      var record = RecordReader(bytes, name: "\(path), \(Self.mixtureName)")
      mixture = try StreamMixture(from: &record)
      try record.finish()
    }
    guard let lines = snapshot.attachments[Self.linesName] else { return }
    var record = RecordReader(lines, name: "\(path), \(Self.linesName)")
    scorer = try LineScorer(from: &record)
    strangest = try StrangestLines(capacity: top, from: &record)
    try record.finish()
  }
}
