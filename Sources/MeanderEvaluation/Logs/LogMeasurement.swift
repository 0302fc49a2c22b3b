import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab log`: how well a model's surprise finds lines that do not belong into a log, beside an n-gram that learns as
/// it reads, and both mixed.
///
/// Into each log ten kinds of foreign line are put at drawn places behind its first tenth, each kind several times. A
/// reader is judged by how high it scores the first of each kind among all lines, and by how many kinds it has among
/// its twenty highest scores.
package struct LogMeasurement: Measurement {
  package static let name = "log"

  package let logs: [String]
  /// Of each log, from its beginning.
  package let lines: Int
  /// How often each log is read, with foreign lines drawn anew.
  package let samples: Int
  /// How often each kind is put in.
  package let repeats: Int

  package init(logs: [String], lines: Int, samples: Int, repeats: Int = 3) {
    self.logs = logs
    self.lines = lines
    self.samples = samples
    self.repeats = repeats
  }

  /// Who scores the lines.
  enum Reader: String, CaseIterable {
    case model
    case ngram = "n-gram"
    case mixed
  }

  package var title: String { "Foreign lines found in logs" }
  package var settings: [(String, JSON)] {
    [
      ("logs", JSON(logs)), ("lines", JSON(lines)), ("repeats", JSON(repeats)), ("length_unit", .string("bytes")),
      ("kinds", JSON(ForeignLine.allCases.map(\.rawValue))),
    ]
  }
  package var units: [MeasurementUnit] {
    logs.indices.flatMap { log in (0..<samples).map { MeasurementUnit("\(log)/\($0)", bytes: lines * 90) } }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let log = logs[unit / samples]
    var generator = TaskGenerator(seed: stream.seed, sample: UInt64(unit))
    let mixture = try Self.mixture(log, lines, repeats, &generator)
    let session = try stream.session()
    var readers = Reader.allCases.map { _ in LineScorer() }
    var bits = [Double](repeating: 0, count: readers.count)
    var scored = readers.map { _ in [ScoredLine]() }
    var prediction = MixedPrediction()
    var plain = ByteNGram()
    var end = 0
    let text = mixture.text
    for start in Swift.stride(from: 0, to: text.count, by: 1 << 14) {
      let piece = Array(text[start..<min(text.count, start + 1 << 14)])
      for reader in readers.indices { readers[reader].read(piece) }
      let scores = try await stream.score(piece, session, isFinal: start + piece.count == text.count)
      var decided = readers.map { _ in [LineScorer.Decided]() }
      for score in scores {
        let bytes = text[end..<min(text.count, Int(score.end))]
        let own = bytes.reduce(0.0) { $0 + plain.read($1) }
        let all = [score.bits, own, prediction.read(bytes, model: score.bits)]
        for reader in readers.indices {
          bits[reader] += all[reader]
          decided[reader].append((score.end, all[reader], nil))
        }
        end = Int(score.end)
      }
      for reader in readers.indices { readers[reader].decide(decided[reader]) { scored[reader].append($0) } }
    }
    for reader in readers.indices { if let line = readers[reader].finish() { scored[reader].append(line) } }
    return JSON(
      [("bytes", JSON(text.count)), ("lines", JSON(mixture.kinds.count))]
        + Reader.allCases.enumerated().map { place, reader in
          (reader.rawValue, Self.judge(scored[place], mixture.kinds, bits[place] / Double(max(1, text.count))))
        })
  }

  /// A log with foreign lines in it, and of each line its kind, nil for the log's own.
  private static func mixture(
    _ path: String, _ lines: Int, _ repeats: Int, _ generator: inout TaskGenerator
  ) throws -> (text: [UInt8], kinds: [ForeignLine?]) {
    let file = try PackedFile(path)
    var bytes: [UInt8] = []
    var count = 0
    while count < lines, let piece = try file.read(1 << 16) {
      bytes += piece
      count += piece.count { $0 == UInt8(ascii: "\n") }
    }
    let own = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: true).prefix(lines).map(Array.init)
    guard own.count >= 200 else {
      throw MeanderError(
        .badData, "the log has \(own.count) lines that are not empty, 200 are needed", at: path,
        remedy: "Give a longer log.")
    }
    // What stands behind each of the log's own lines.
    var foreign: [Int: [ForeignLine]] = [:]
    for kind in ForeignLine.allCases {
      for _ in 0..<repeats { foreign[generator.integer(in: own.count / 10...own.count - 1), default: []].append(kind) }
    }
    var text: [UInt8] = []
    var kinds: [ForeignLine?] = []
    for (place, line) in own.enumerated() {
      text += line + [UInt8(ascii: "\n")]
      kinds.append(nil)
      for kind in foreign[place] ?? [] {
        text += kind.draw(using: &generator).utf8 + [UInt8(ascii: "\n")]
        kinds.append(kind)
      }
    }
    return (text, kinds)
  }

  private static func judge(_ lines: [ScoredLine], _ kinds: [ForeignLine?], _ bitsPerByte: Double) -> JSON {
    var seen: Set<ForeignLine> = []
    var positives: [Double] = []
    var negatives: [Double] = []
    for (line, kind) in zip(lines, kinds).dropFirst(Int(LineScorer.warmUp)) {
      if let kind {
        if seen.insert(kind).inserted { positives.append(line.score) }
      } else {
        negatives.append(line.score)
      }
    }
    let highest = zip(lines, kinds).enumerated()
      .sorted { ($0.element.0.score, -$0.offset) > ($1.element.0.score, -$1.offset) }.prefix(20)
    let found = Set(highest.compactMap { $0.element.1 })
    return JSON([
      ("auc", areaUnderCurve(positives: positives, negatives: negatives).map { JSON($0) } ?? .null),
      ("kinds", JSON(found.count)),
      ("bits_per_byte", JSON(bitsPerByte)),
      ("missed", JSON(ForeignLine.allCases.filter { !found.contains($0) }.map(\.rawValue))),
    ])
  }

  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    var rows: [JSON] = []
    for (number, log) in logs.enumerated() {
      let mine = outcomes[number * samples..<(number + 1) * samples].compactMap { $0 }
      if mine.isEmpty { continue }
      for reader in Reader.allCases {
        let found = mine.compactMap { $0[reader.rawValue] }
        let areas = found.compactMap { $0["auc"]?.double }
        if areas.isEmpty { continue }
        let area = MeanInterval(areas)
        func mean(_ key: String) -> Double { found.reduce(0) { $0 + ($1[key]?.double ?? 0) } / Double(found.count) }
        rows.append(
          JSON([
            ("log", .string(log)), ("series", .string(reader.rawValue)),
            ("length", JSON(mine.reduce(0) { $0 + ($1["bytes"]?.integer ?? 0) } / mine.count)),
            ("samples", JSON(mine.count)),
            ("auc", JSON(area.mean)), ("low", JSON(max(0, area.interval.lowerBound))),
            ("high", JSON(min(1, area.interval.upperBound))),
            ("kinds_in_top_20", JSON(mean("kinds"))), ("bits_a_byte", JSON(mean("bits_per_byte"))),
          ]))
      }
    }
    return [("results", .array(rows))]
  }
}
