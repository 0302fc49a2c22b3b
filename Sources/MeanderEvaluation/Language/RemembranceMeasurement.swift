import Glibc
import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab remembrance`: how far a model's next prediction depends on what stands far back (effective remembrance, Ruiz
/// and Gu 2025).
///
/// Of a stream of T tokens, the distribution behind all of them is compared with the one behind the last T - t alone:
/// the distance is total variation, half the sum of differences. It falls as more is read; where a state has
/// collapsed, leaving out the first few tokens changes everything.
package struct RemembranceMeasurement: Measurement {
  package static let name = "remembrance"

  package let text: TextFiller
  package let textName: String
  package let streams: Int
  /// T, in tokens.
  package let length: Int

  package init(text: TextFiller, textName: String, streams: Int, length: Int) {
    self.text = text
    self.textName = textName
    self.streams = streams
    self.length = length
  }

  package var title: String { "Distance of the prediction from that of the whole stream, by how much of it was read" }
  package var settings: [(String, JSON)] {
    [
      ("text", .string(textName)), ("streams", JSON(streams)), ("stream_tokens", JSON(length)),
      ("length_unit", .string("tokens")),
    ]
  }
  package var units: [MeasurementUnit] {
    (0..<streams).map { MeasurementUnit("\($0)", bytes: suffixes.reduce(length, +)) }
  }

  /// How many of the last tokens are read: few of the beginning left out, and then all but a few.
  var suffixes: [Int] {
    var counts: Set<Int> = []
    var step = 1
    while step < length {
      counts.insert(step)
      counts.insert(length - step)
      step *= 4
    }
    return counts.filter { $0 > 0 }.sorted()
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let ids = try tokens(unit, stream.model)
    let whole = try await distribution(ids, stream)
    var rows: [JSON] = []
    for count in suffixes {
      let part = try await distribution(Array(ids.suffix(count)), stream)
      let distance = zip(whole, part).reduce(0) { $0 + ($1.0 - $1.1).magnitude } / 2
      rows.append(.array([JSON(count), JSON(distance)]))
    }
    return JSON([("distances", .array(rows))])
  }

  private func tokens(_ number: Int, _ model: Model) throws -> [Int32] {
    let place = text.byteCount / streams * number
    let start = try text.lineStart(from: place)
    // Tokens are bytes at the shortest; texts of few bytes a token need no more than this to begin with.
    var count = length
    while true {
      let bytes = try text.bytes(from: start, count: count)
      let ids = model.tokenizer.encode(bytes)
      // The last ones of a longer text may fall into other tokens.
      if ids.count >= length + 8 || (ids.count >= length && model.tokenizer.kind == "bytes") {
        return Array(ids.prefix(length))
      }
      guard bytes.count == count else {
        throw MeanderError(
          .badRequest, "stream \(number) has fewer than \(length) tokens behind its beginning", at: textName,
          remedy: "Give more text, or ask for fewer or shorter streams.")
      }
      count += max(64, count)
    }
  }

  private func distribution(_ ids: [Int32], _ stream: LabStream) async throws -> [Double] {
    let session = try stream.session()
    for start in Swift.stride(from: 0, to: ids.count, by: 1 << 14) {
      let piece = Array(ids[start..<min(ids.count, start + 1 << 14)])
      try await session.feed(ids: piece)
      stream.meter.add(piece.count)
    }
    let logits = try await session.logits().map { Double($0) }
    let largest = logits.max() ?? 0
    let weights = logits.map { exp($0 - largest) }
    let sum = weights.reduce(0, +)
    return weights.map { $0 / sum }
  }

  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    var values: [Int: [Double]] = [:]
    for row in outcomes.compactMap({ $0?["distances"]?.array }).joined() {
      if let pair = row.array, pair.count == 2, let count = pair[0].integer, let distance = pair[1].double {
        values[count, default: []].append(distance)
      }
    }
    let rows = values.keys.sorted().compactMap { count -> JSON? in
      guard let list = values[count] else { return nil }
      let mean = MeanInterval(list)
      return JSON([
        ("series", .string("total variation")), ("length", JSON(count)), ("left_out", JSON(length - count)),
        ("samples", JSON(list.count)),
        ("distance", JSON(min(1, mean.mean))), ("low", JSON(max(0, mean.interval.lowerBound))),
        ("high", JSON(min(1, mean.interval.upperBound))),
      ])
    }
    return [("results", .array(rows))]
  }
}
