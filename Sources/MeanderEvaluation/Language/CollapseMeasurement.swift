import Glibc
import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab collapse`: where a model's loss leaves what it was within the trained length, and which heads outgrow theirs.
///
/// Read are streams of real text, and the prompt that tells length from content: line breaks alone. Every stream is
/// sampled where its position, in tokens, is a power of two times the grid.
package struct CollapseMeasurement: Measurement {
  package static let name = "collapse"

  package let text: TextFiller?
  package let textName: String
  package let streams: Int
  /// Bytes of each stream of text.
  package let length: Int
  /// Line breaks of the prompt; 0 leaves it out.
  package let newlines: Int
  /// What counts as trained, in tokens, where the model does not say.
  package let trainedLength: Int?
  /// Tokens between two looks at the gauge, doubled from one to the next.
  private static let grid = 512

  package init(text: TextFiller?, textName: String, streams: Int, length: Int, newlines: Int, trainedLength: Int?)
    throws
  {
    if let text, streams * length > text.byteCount {
      throw MeanderError(
        .badRequest, "\(streams) streams of \(length) bytes are more than the \(text.byteCount) bytes of text",
        at: textName,
        remedy: "Ask for fewer or shorter streams, or give more text.")
    }
    self.text = text
    self.textName = textName
    self.streams = text == nil ? 0 : streams
    self.length = length
    self.newlines = newlines
    self.trainedLength = trainedLength
  }

  package var title: String { "Loss and state by position" }
  package var settings: [(String, JSON)] {
    [
      ("text", .string(textName)), ("streams", JSON(streams)), ("stream_bytes", JSON(length)),
      ("newlines", JSON(newlines)),
      ("trained_length", trainedLength.map { JSON($0) } ?? .null), ("length_unit", .string("bytes")),
    ]
  }

  package var units: [MeasurementUnit] {
    (newlines > 0 ? [MeasurementUnit("newlines", bytes: newlines)] : [])
      + (0..<streams).map { MeasurementUnit("text/\($0)", bytes: length) }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    var reading = CollapseReading(try stream.session(), grid: Self.grid)
    if newlines > 0, unit == 0 {
      let piece = [UInt8](repeating: UInt8(ascii: "\n"), count: 1 << 14)
      try await reading.read(newlines, on: stream) { _, count in Array(piece.prefix(count)) }
    } else if let text {
      let number = unit - (newlines > 0 ? 1 : 0)
      let gap = (text.byteCount - streams * length) / streams
      let start = try min(text.lineStart(from: number * (length + gap)), text.byteCount - length)
      try await reading.read(length, on: stream) { try text.bytes(from: start + $0, count: $1) }
    }
    return JSON(reading.outcome + [("model_trained_length", stream.model.trainedLength.map { JSON($0) } ?? .null)])
  }

  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    let prompt = newlines > 0 ? outcomes.first ?? nil : nil
    let texts = outcomes.dropFirst(newlines > 0 ? 1 : 0).compactMap { $0 }
    let trained = trainedLength ?? (texts.first ?? prompt)?["model_trained_length"]?.integer
    var rows: [JSON] = []
    var members: [(String, JSON)] = []
    for (series, group) in [("text", texts), ("newlines", prompt.map { [$0] } ?? [])] where !group.isEmpty {
      let losses = group.compactMap { $0["loss"].flatMap { StreamLoss($0) } }
      rows += LossMeasurement.rows(losses, series: series, within: series == "text" ? length : newlines)
      if let trained { members.append(("\(series)_rise", Self.rise(losses, trained: trained))) }
    }
    let heads = HeadTable(texts.isEmpty ? prompt.map { [$0] } ?? [] : texts, trained: trained)
    members += [
      ("heads", .array(heads.rows)), ("collapsing", .array(heads.collapsing)), ("panels", .array(heads.panels)),
    ]
    let failures = (texts + (prompt.map { [$0] } ?? [])).compactMap { $0["failure"]?.string }
    if !failures.isEmpty { members.append(("states_not_finite", JSON(failures))) }
    return [("results", .array(rows))] + members
  }

  /// The loss in the last bucket, over that of the buckets that lie within the trained length and behind its first
  /// quarter.
  private static func rise(_ losses: [StreamLoss], trained: Int) -> JSON {
    // The trained length is in tokens, positions are in bytes.
    let tokens = losses.reduce(0) { $0 + $1.totalTokens }
    let bytesAToken = Double(losses.reduce(0) { $0 + $1.totalBytes }) / Double(max(1, tokens))
    let limit = Double(trained) * bytesAToken
    let last = losses.map(\.bits.count).max() ?? 0
    func mean(_ buckets: [Int]) -> Double? {
      let bits = losses.reduce(0.0) { sum, loss in
        buckets.reduce(sum) { $0 + (loss.bits.indices.contains($1) ? loss.bits[$1] : 0) }
      }
      let bytes = losses.reduce(0) { sum, loss in
        buckets.reduce(sum) { $0 + (loss.bytes.indices.contains($1) ? loss.bytes[$1] : 0) }
      }
      return bytes > 0 ? bits / Double(bytes) : nil
    }
    let within = (0..<last).filter {
      Double(StreamLoss.end($0)) <= limit * 1.01 && Double(StreamLoss.end($0)) > limit / 4
    }
    guard let inside = mean(within), inside > 0, let outside = mean([last - 1]) else { return .null }
    let leaves = (0..<last).first { bucket in
      Double(StreamLoss.end(bucket)) > limit && (mean([bucket]) ?? 0) > 1.25 * inside
    }
    return JSON([
      ("trained_length_tokens", JSON(trained)), ("within", JSON(inside)), ("at_the_end", JSON(outside)),
      ("ratio", JSON(outside / inside)),
      ("above_by_a_quarter_from", leaves.map { JSON(StreamLoss.end($0) / 2) } ?? .null),
    ])
  }
}

/// A stream that is read with an eye on loss and gauge.
private struct CollapseReading {
  private let session: Session
  private let grid: Int
  private var loss = StreamLoss()
  private var samples: [(position: Int, gauge: Gauge)] = []
  private var failure: String?

  init(_ session: Session, grid: Int) {
    self.session = session
    self.grid = grid
  }

  mutating func read(_ count: Int, on stream: LabStream, _ piece: (_ offset: Int, _ count: Int) throws -> [UInt8])
    async throws
  {
    var start = 0
    var read = 0
    var next = grid
    do {
      while read < count {
        // Short pieces near a sample, so that it is taken close to its position; every token is at least a byte.
        let toNext = max(1, next - Int(session.position))
        let bytes = try piece(read, min(count - read, min(1 << 14, toNext)))
        read += bytes.count
        loss.add(try await stream.score(bytes, session, isFinal: read == count), from: &start, base: 0)
        if Int(session.position) >= next {
          samples.append((Int(session.position), try await session.gauge()))
          while next <= Int(session.position) { next *= 2 }
        }
      }
      samples.append((Int(session.position), try await session.gauge()))
    } catch let error as MeanderError where error.code == .nonFinite {
      failure = error.description
    }
  }

  var outcome: [(String, JSON)] {
    let heads = samples.map { position, gauge in
      JSON([
        ("position", JSON(position)),
        (
          "layers",
          .array(
            gauge.layers.map { layer in
              .array(layer.heads.map { .array([JSON($0.norm), JSON($0.largestOverRMS), JSON($0.retention)]) })
            })
        ),
      ])
    }
    return [("loss", loss.json), ("samples", .array(heads))] + (failure.map { [("failure", .string($0))] } ?? [])
  }
}
