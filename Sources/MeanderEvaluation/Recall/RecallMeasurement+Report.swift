import MeanderFiles
import MeanderTasks

extension RecallMeasurement {
  /// Rows by series and length, the same by depth, and what of the filler was read.
  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] {
    let samples = zip(cells, outcomes).compactMap { cell, outcome in outcome.map { (cell, $0) } }
    var rows: [JSON] = []
    var byDepth: [JSON] = []
    for (number, series) in series.enumerated() {
      for ending in series.rule == .exact ? [.plain] : series.endings {
        for length in lengths.sorted() {
          let cell = samples.filter { $0.0.series == number && $0.0.length == length }.map {
            ReadSample($0.0, $0.1, ending)
          }
          if cell.isEmpty { continue }
          rows.append(JSON(row(series, ending, length, cell)))
          byDepth += depthRows(series, ending, length, cell)
        }
      }
    }
    let corpus = samples.compactMap { $0.1["corpus_bytes"]?.integer }.max()
    var members: [(String, JSON)] = [("results", .array(rows)), ("by_depth", .array(byDepth))]
    if let corpus {
      let stretches = samples.compactMap { ReadSample($0.0, $0.1, .plain).stretch }
      members += [
        ("corpus_bytes", JSON(corpus)), ("distinct_filler_bytes", JSON(Self.coverage(stretches, corpus))),
        ("filler_bytes", JSON(stretches.reduce(0) { $0 + $1.count })),
      ]
    }
    return members
  }

  private func row(
    _ series: RecallSeries, _ ending: RecallSeries.Ending, _ length: Int, _ cell: [ReadSample]
  ) -> [(String, JSON)] {
    let hits = cell.reduce(0) { $0 + $1.hits }
    let parts = cell.reduce(0) { $0 + $1.parts }
    let interval = Proportion(hits: hits, of: parts).interval()
    let clusters = Self.clusters(cell)
    let clustered = ClusteredProportion(clusters).interval()
    var row: [(String, JSON)] = [
      ("series", .string(series.name(ending))), ("length", JSON(length)),
      ("tokens", JSON(cell.reduce(0) { $0 + $1.tokens } / cell.count)), ("samples", JSON(cell.count)),
      ("hits", JSON(hits)),
      ("accuracy", JSON(Double(hits) / Double(parts))), ("low", JSON(interval.lowerBound)),
      ("high", JSON(interval.upperBound)),
      ("clusters", JSON(clusters.count)), ("clustered_low", JSON(clustered.lowerBound)),
      ("clustered_high", JSON(clustered.upperBound)),
    ]
    if parts != cell.count { row.append(("answers", JSON(parts))) }
    if series.isAbsent {
      let invented = Proportion(hits: cell.count { $0.saysADigit }, of: cell.count)
      row += [
        ("invented", JSON(invented.rate)), ("invented_low", JSON(invented.interval().lowerBound)),
        ("invented_high", JSON(invented.interval().upperBound)),
      ]
    }
    let failures = cell.count { $0.hasFailed }
    if failures > 0 { row.append(("states_not_finite", JSON(failures))) }
    let stretches = cell.compactMap(\.stretch)
    if let corpus = stretches.first?.corpus {
      row.append(("distinct_filler_bytes", JSON(Self.coverage(stretches, corpus))))
    }
    let wrong = cell.filter { $0.hits < $0.parts }.prefix(8).map { "\($0.expected) -> \($0.said)" }
    if !wrong.isEmpty, series.rule != .exact { row.append(("wrong", JSON(Array(wrong)))) }
    return row
  }

  /// The fixed depths, or ten of equal width where depths differ from sample to sample.
  private func depthRows(
    _ series: RecallSeries, _ ending: RecallSeries.Ending, _ length: Int, _ cell: [ReadSample]
  ) -> [JSON] {
    if series.isAbsent { return [] }
    var groups: [(depth: Double, samples: [ReadSample])] = []
    if case .fixed(let depths) = depths {
      groups = depths.enumerated().map { place, depth in (depth, cell.filter { $0.number % depths.count == place }) }
    } else {
      groups = (0..<10).map { band in (Double(band) / 10 + 0.05, cell.filter { min(9, Int($0.depth * 10)) == band }) }
    }
    return groups.filter { !$0.samples.isEmpty }.map { depth, samples in
      let proportion = Proportion(hits: samples.reduce(0) { $0 + $1.hits }, of: samples.reduce(0) { $0 + $1.parts })
      return JSON([
        ("series", .string(series.name(ending))), ("length", JSON(length)), ("depth", JSON(depth)),
        ("samples", JSON(samples.count)), ("accuracy", JSON(proportion.rate)),
        ("low", JSON(proportion.interval().lowerBound)),
        ("high", JSON(proportion.interval().upperBound)),
      ])
    }
  }

  /// Samples by what they have in common: those that begin in one document, or where haystacks are longer than
  /// documents, in one stretch of text as long as a haystack. Filler that is made up is nobody's in common.
  private static func clusters(_ cell: [ReadSample]) -> [Proportion] {
    var groups: [String: (hits: Int, parts: Int)] = [:]
    for sample in cell {
      groups[sample.cluster, default: (0, 0)].hits += sample.hits
      groups[sample.cluster, default: (0, 0)].parts += sample.parts
    }
    return groups.sorted { $0.key < $1.key }.map { Proportion(hits: $0.value.hits, of: $0.value.parts) }
  }

  /// How many bytes of a corpus lie in one of the stretches, which go on at its beginning behind its end.
  private static func coverage(_ stretches: [ReadSample.Stretch], _ corpus: Int) -> Int {
    let ranges = stretches.flatMap { stretch -> [Range<Int>] in
      if stretch.count >= corpus { return [0..<corpus] }
      let end = stretch.start + stretch.count
      return end <= corpus ? [stretch.start..<end] : [stretch.start..<corpus, 0..<end - corpus]
    }
    var covered = 0
    var reached = 0
    for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
      covered += max(0, range.upperBound - max(reached, range.lowerBound))
      reached = max(reached, range.upperBound)
    }
    return covered
  }
}

/// A sample as its outcome tells of it.
private struct ReadSample {
  struct Stretch {
    let start: Int
    let count: Int
    let corpus: Int
  }

  let number: Int
  let depth: Double
  let tokens: Int
  let hits: Int
  let parts: Int
  let expected: String
  let said: String
  let hasFailed: Bool
  let stretch: Stretch?
  let cluster: String

  init(_ cell: RecallMeasurement.Cell, _ outcome: JSON, _ ending: RecallSeries.Ending) {
    number = cell.number
    depth = outcome["depth"]?.double ?? 0
    tokens = outcome["tokens"]?.integer ?? 0
    let answer = outcome["answers"]?.array?.first { $0["ending"]?.string == ending.rawValue }
    parts = max(1, answer?["parts"]?.integer ?? 1)
    hits = min(parts, max(0, answer?["hits"]?.integer ?? 0))
    expected = (answer?["expected"]?.array ?? []).compactMap(\.string).joined(separator: "|")
    said = (answer?["said"]?.array ?? []).compactMap(\.string).joined(separator: "|")
    hasFailed = outcome["failure"] != nil
    let filler = outcome["filler_bytes"]?.integer ?? 0
    guard let offset = outcome["offset"]?.integer, let corpus = outcome["corpus_bytes"]?.integer, corpus > 0 else {
      stretch = nil
      cluster = "\(cell.number)"
      return
    }
    stretch = Stretch(start: offset, count: filler, corpus: corpus)
    let isWithin = filler <= outcome["document_bytes"]?.integer ?? 0
    cluster = isWithin ? outcome["document"]?.string ?? "" : "\(offset / max(1, filler))"
  }

  var saysADigit: Bool { said.utf8.contains { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } }
}
