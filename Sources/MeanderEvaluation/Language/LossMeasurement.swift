import Glibc
import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab perplexity`: bits a byte and perplexity over streams of text, by position, with the state carried from
/// beginning to end, begun anew every so many bytes, or in overlapping windows.
///
/// The text is cut into streams that lie evenly over it. Files follow each other without a mark.
package struct LossMeasurement: Measurement {
  package static let name = "perplexity"

  package let text: TextFiller
  package let textName: String
  package let streams: Int
  /// Bytes of each stream.
  package let length: Int
  package let readings: [Reading]
  /// Text that an n-gram reads before each stream, in order to be measured beside the model; nil for none, empty for
  /// nothing before.
  package let priming: [String]?

  /// How the state is come by.
  package enum Reading: Sendable, Hashable {
    /// From the beginning of a stream to its end.
    case carried
    /// Begun anew every so many bytes.
    case begunAnew(every: Int)
    /// Every `stride` bytes, from a state of its own that reads the `window - stride` bytes before them first: what
    /// perplexity is for a model of bounded context. Costs window / stride times the reading.
    case strided(window: Int, stride: Int)

    /// What reports call it.
    var name: String {
      switch self {
      case .carried: "carried"
      case .begunAnew(let every): "begun anew every \(Figure.length(Double(every)))"
      case .strided(let window, let stride):
        "windows of \(Figure.length(Double(window))) every \(Figure.length(Double(stride)))"
      }
    }

    /// The bytes that are scored from one state, and those that are read before them at most.
    func parts(within length: Int) -> (scored: Int, before: Int) {
      switch self {
      case .carried: (length, 0)
      case .begunAnew(let every): (every, 0)
      case .strided(let window, let stride): (stride, window - stride)
      }
    }
  }

  /// Throws `.badRequest` where the text is shorter than the streams.
  package init(
    text: TextFiller, textName: String, streams: Int, length: Int, readings: [Reading], priming: [String]? = nil
  ) throws {
    guard streams * length <= text.byteCount else {
      throw MeanderError(
        .badRequest, "\(streams) streams of \(length) bytes are more than the \(text.byteCount) bytes of text",
        at: textName,
        remedy: "Ask for fewer or shorter streams, or give more text.")
    }
    self.text = text
    self.textName = textName
    self.streams = streams
    self.length = length
    self.readings = readings
    self.priming = priming
  }

  private static let ngram = "n-gram"
  /// Counters for as much text as corpora have: 2^24 for each of the higher orders.
  private static let ngramTable = 24

  package var title: String { "Bits a byte, by position" }
  package var settings: [(String, JSON)] {
    [
      ("text", .string(textName)), ("streams", JSON(streams)), ("stream_bytes", JSON(length)),
      ("length_unit", .string("bytes")),
      ("n_gram_primed_with", priming.map { JSON($0) } ?? .null),
    ]
  }

  package var units: [MeasurementUnit] {
    (0..<streams).flatMap { stream in
      readings.map { MeasurementUnit("\($0.name)/\(stream)", bytes: length) }
    } + (priming == nil ? [] : [MeasurementUnit(Self.ngram, bytes: streams * length)])
  }

  /// One n-gram for all streams: each is read by a copy of the primed one.
  private func ngramLosses(_ stream: LabStream) throws -> JSON {
    var primed = ByteNGram(table: Self.ngramTable)
    for path in try Folder.files(below: priming ?? []) {
      let file = try PackedFile(path)
      while let piece = try file.read(1 << 16) {
        try Task.checkCancellation()
        for byte in piece { _ = primed.read(byte) }
      }
    }
    let losses = try (0..<streams).map { number -> JSON in
      let start = try start(number)
      var ngram = primed
      var loss = StreamLoss()
      var read = 0
      while read < length {
        try Task.checkCancellation()
        let piece = try text.bytes(from: start + read, count: min(1 << 16, length - read))
        for byte in piece {
          loss.add(bits: ngram.read(byte), at: read)
          read += 1
        }
        stream.meter.add(piece.count)
      }
      return loss.json
    }
    return JSON([("losses", .array(losses))])
  }

  /// Where a stream begins in the text.
  private func start(_ number: Int) throws -> Int {
    let gap = (text.byteCount - streams * length) / streams
    return try min(text.lineStart(from: number * (length + gap)), text.byteCount - length)
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    if unit == streams * readings.count {
      do {
        return try ngramLosses(stream)
      } catch is CancellationError {
        throw MeanderError(.cancelled, "the n-gram was stopped", at: Self.ngram)
      }
    }
    let parts = readings[unit % readings.count].parts(within: length)
    let start = try start(unit / readings.count)
    var loss = StreamLoss()
    var position = 0
    var read = 0
    while read < length {
      let session = try stream.session()
      let end = min(length, read + parts.scored)
      let base = max(0, read - parts.before)
      if base < read {
        try await stream.read(text.bytes(from: start + base, count: read - base), session)
        // Ended here, so that what is scored begins with a token of its own.
        try await session.finishInput()
      }
      while read < end {
        let piece = try text.bytes(from: start + read, count: min(1 << 16, end - read))
        read += piece.count
        loss.add(try await stream.score(piece, session, isFinal: read == end), from: &position, base: base)
      }
    }
    return loss.json
  }

  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    var rows: [JSON] = []
    var overall: [JSON] = []
    for (number, reading) in readings.enumerated() {
      let losses = stride(from: number, to: streams * readings.count, by: readings.count).compactMap {
        outcomes[$0].flatMap { StreamLoss($0) }
      }
      if losses.isEmpty { continue }
      rows += Self.rows(losses, series: reading.name, within: length)
      overall.append(JSON(Self.overall(losses, series: reading.name)))
    }
    if priming != nil, let losses = outcomes.last??["losses"]?.array?.compactMap({ StreamLoss($0) }), !losses.isEmpty {
      rows += Self.rows(losses, series: Self.ngram, within: length)
      overall.append(JSON(Self.overall(losses, series: Self.ngram)))
    }
    return [("results", .array(rows)), ("overall", .array(overall))]
  }

  /// A row for each bucket that streams reach the end of; the last may be cut off.
  static func rows(_ losses: [StreamLoss], series: String, within length: Int) -> [JSON] {
    let buckets = losses.map(\.bits.count).max() ?? 0
    return (0..<buckets).compactMap { bucket in
      let values = losses.compactMap { $0.bitsPerByte(bucket) }
      if values.isEmpty { return nil }
      let mean = MeanInterval(values)
      return JSON([
        ("series", .string(series)), ("length", JSON(min(length, StreamLoss.end(bucket)))),
        ("samples", JSON(values.count)),
        ("bits_per_byte", JSON(mean.mean)), ("low", JSON(max(0, mean.interval.lowerBound))),
        ("high", JSON(mean.interval.upperBound)),
      ])
    }
  }

  /// All bytes alike.
  static func overall(_ losses: [StreamLoss], series: String) -> [(String, JSON)] {
    let bits = losses.reduce(0) { $0 + $1.totalBits }
    let bytes = losses.reduce(0) { $0 + $1.totalBytes }
    let tokens = losses.reduce(0) { $0 + $1.totalTokens }
    let mean = MeanInterval(losses.filter { $0.totalBytes > 0 }.map { $0.totalBits / Double($0.totalBytes) })
    let alarms = losses.compactMap(\.alarm)
    return [
      ("series", .string(series)), ("bytes", JSON(bytes)), ("tokens", JSON(tokens)),
      ("bits_per_byte", JSON(bits / Double(max(1, bytes)))), ("low", JSON(max(0, mean.interval.lowerBound))),
      ("high", JSON(mean.interval.upperBound)), ("perplexity", JSON(exp2(bits / Double(max(1, tokens))))),
      ("streams_with_alarm", JSON(alarms.count)),
    ] + (alarms.min().map { [("first_alarm", JSON($0))] } ?? [])
  }
}
