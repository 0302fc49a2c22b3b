import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab cascade`: needles in real text, answered by a reader, by the cascade of reader and fallback, and by whichever of the two a
/// deferral rule would have chosen.
///
/// Every haystack is read once and asked of both, so that one run gives every rule's curve: accuracy against the share of questions
/// that are deferred, from none to all.
package struct CascadeMeasurement: Measurement {
  package static let name = "cascade"

  /// One for each stream, on its engine.
  private let fallbacks: [Model]
  private let keys: [Int]
  private let lengths: [Int]
  private let samples: Int
  private let options: CascadeOptions
  /// The task's other options, as recipes have them.
  private let taskOptions: String
  private let tasks: [any RecallTask]
  private let filler: any Filler
  private let fillerName: String

  /// - Throws: `.badRequest` for options that the task does not have.
  package init(
    fallbacks: [Model], keys: [Int], lengths: [Int], samples: Int, options: CascadeOptions, taskOptions: String,
    filler: any Filler, fillerName: String
  ) throws {
    (self.fallbacks, self.keys, self.lengths, self.samples) = (fallbacks, keys.sorted(), lengths.sorted(), samples)
    (self.taskOptions, self.filler, self.fillerName) = (taskOptions, filler, fillerName)
    // The reader is never certain here: both answer.
    self.options = options
    let given = try JSON.parse(FileBytes(Array(taskOptions.utf8), path: "--options"))
    tasks = try self.keys.map { count in
      let members = (given.object?.members ?? []).filter { $0.key != "keys" }.map { ($0.key, $0.value) }
      let all = JSON([("trailing_space", JSON(0))] + members.filter { $0.0 != "trailing_space" } + [("keys", JSON(count))])
      return try RecallTasks.make(NeedleTask.name, Configuration(all, file: "--options"), file: "--options")
    }
  }

  private struct Cell {
    let key: Int
    let length: Int
    let number: Int
  }

  private var cells: [Cell] {
    lengths.flatMap { length in
      (0..<samples).flatMap { number in keys.indices.map { Cell(key: $0, length: length, number: number) } }
    }
  }

  package var title: String { "A cascade on needles" }

  package var settings: [(String, JSON)] {
    [
      ("filler", .string(fillerName)), ("length_unit", .string("bytes")), ("fallback", .string(fallbacks[0].name)),
      ("fallback_fingerprint", .string(fallbacks[0].fingerprint)), ("scoring", .string(options.scoring.rawValue)),
      ("segment_bytes", JSON(options.segmentBytes)), ("share", JSON(options.share)),
      ("reread_bytes", options.rereadBytes.map { JSON(Int($0)) } ?? .null), ("options", .string(taskOptions)),
      ("fallback_tokens", options.tokens.map { JSON($0) } ?? .null),
    ]
  }

  package var units: [MeasurementUnit] {
    cells.map { MeasurementUnit("\(keys[$0.key])/\($0.length)/\($0.number)", bytes: $0.length) }
  }

  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    let cell = cells[unit]
    let sample = try CascadeSample(
      tasks[cell.key], length: cell.length, number: cell.number, seed: stream.seed &+ UInt64(keys[cell.key]) &* 7919, filler: filler)
    var always = options
    always.rule = DeferralRule(.sum, threshold: .infinity)
    let session = try stream.session()
    let cascade = try Cascade(session, fallback: fallbacks[stream.number], options: always, questions: [sample.question])
    let clock = ContinuousClock()
    let start = clock.now
    try await sample.read { bytes in
      try await cascade.feed(bytes: bytes)
      stream.meter.add(bytes.count)
    }
    let read = clock.now - start
    let answer = try await cascade.answer(
      sample.question, sampling: SamplingOptions(), maximumTokens: sample.maximumTokens([stream.model, cascade.fallback]))
    var isAlarm = false
    if case .alarm = answer.reason { isAlarm = true }
    return JSON([
      ("own", .bool(sample.isRight(answer.own.text))), ("other", .bool(sample.isRight(answer.text))),
      ("log_probabilities", .array(answer.own.logProbabilities.map { JSON($0) })), ("alarm", .bool(isAlarm)),
      ("expected", .string(sample.answer)), ("own_said", .string(answer.own.text)), ("other_said", .string(answer.text)),
      ("bytes", JSON(Int(await cascade.bytesRead))), ("reread_bytes", JSON(Int(answer.rereadBytes))),
      ("looks", JSON(answer.looks.count)), ("skipped", JSON(answer.skipped)), ("tokens", JSON(Int(session.position))),
      ("seconds_reading", JSON(Double(read.components.seconds) + Double(read.components.attoseconds) * 1e-18)),
      ("seconds_scoring", JSON(answer.seconds.1)), ("seconds_answering", JSON(answer.seconds.2)),
    ])
  }

  package func report(_ outcomes: [JSON?]) throws -> [(String, JSON)] {
    let known = zip(cells, outcomes).compactMap { cell, outcome in outcome.map { (cell, CascadeOutcome($0)) } }
    var (results, rules, panels) = ([JSON](), [JSON](), [JSON]())
    for (place, key) in keys.enumerated() {
      for length in lengths {
        let own = known.filter { $0.0.key == place && $0.0.length == length }.map(\.1)
        if own.isEmpty { continue }
        let name = key == 1 ? "1 key" : "\(key) keys"
        results.append(JSON(row("reader, \(name)", length, own.map(\.own), own)))
        results.append(JSON(row("cascade, \(name)", length, own.map(\.other), own)))
        let curves = DeferralCurve.all(of: own)
        rules += curves.map { curve in
          JSON([
            ("series", .string(name)), ("length", JSON(length)), ("rule", .string(curve.name)), ("area", JSON(curve.area)),
          ])
        }
        panels.append(
          ReportPanel(
            title: "\(name), \(Figure.length(Double(length)))", horizontal: "percent of questions deferred", vertical: "accuracy",
            isLogarithmic: (false, false), series: curves.map { ($0.name, $0.points) }
          ).json)
      }
    }
    return [("results", .array(results)), ("rules", .array(rules)), ("panels", .array(panels))]
  }

  private func row(_ series: String, _ length: Int, _ hits: [Bool], _ own: [CascadeOutcome]) -> [(String, JSON)] {
    let proportion = Proportion(hits: hits.count { $0 }, of: hits.count)
    let interval = proportion.interval()
    func mean(_ value: (CascadeOutcome) -> Double) -> JSON { JSON(own.reduce(0) { $0 + value($1) } / Double(own.count)) }
    return [
      ("series", .string(series)), ("length", JSON(length)), ("samples", JSON(hits.count)), ("accuracy", JSON(proportion.rate)),
      ("low", JSON(interval.lowerBound)), ("high", JSON(interval.upperBound)),
      ("reread_share", JSON(own.map { $0.reread / max(1, $0.bytes) }.max() ?? 0)), ("tokens", mean(\.tokens)),
      ("seconds_reading", mean(\.reading)), ("seconds_scoring", mean(\.scoring)), ("seconds_answering", mean(\.answering)),
    ]
  }
}

/// What is known of one question.
package struct CascadeOutcome {
  let own, other, isAlarm: Bool
  let logProbabilities: [Double]
  let bytes, reread, tokens, reading, scoring, answering: Double

  package init(own: Bool, other: Bool, isAlarm: Bool, logProbabilities: [Double]) {
    (self.own, self.other, self.isAlarm, self.logProbabilities) = (own, other, isAlarm, logProbabilities)
    (bytes, reread, tokens, reading, scoring, answering) = (0, 0, 0, 0, 0, 0)
  }

  init(_ json: JSON) {
    func number(_ key: String) -> Double { json[key]?.double ?? 0 }
    (own, other) = (json["own"]?.bool ?? false, json["other"]?.bool ?? false)
    isAlarm = json["alarm"]?.bool ?? false
    logProbabilities = (json["log_probabilities"]?.array ?? []).compactMap(\.double)
    (bytes, reread, tokens) = (number("bytes"), number("reread_bytes"), number("tokens"))
    (reading, scoring, answering) = (number("seconds_reading"), number("seconds_scoring"), number("seconds_answering"))
  }
}

/// Accuracy against the share of questions that a rule defers.
package struct DeferralCurve {
  package let name: String
  /// From none deferred to all, each as reports hold a point: percent, accuracy.
  package let points: [JSON]
  /// The mean accuracy over all shares.
  package let area: Double

  /// One for each rule, and for deferring at random. The learned rule is fitted on one half of the questions and judged on the other, and
  /// the other way round.
  package static func all(of outcomes: [CascadeOutcome]) -> [DeferralCurve] {
    func values(_ rule: DeferralRule) -> [Double] { outcomes.map { rule.confidence(in: $0.logProbabilities) ?? -.infinity } }
    var curves = [
      curve("quantile", outcomes, values(DeferralRule())), curve("Chow's sum", outcomes, values(DeferralRule(.sum))),
      curve("Chow's average", outcomes, values(DeferralRule(.average))),
      curve("alarm", outcomes, outcomes.map { $0.isAlarm ? 0 : 1 }),
    ]
    var learned = [Double](repeating: 0, count: outcomes.count)
    for half in 0..<2 {
      let known = outcomes.enumerated().filter { $0.offset % 2 != half }.map { ($0.element.logProbabilities, $0.element.own) }
      let rule = DeferralRule(.learned([])).calibrated(
        on: known.map { (logProbabilities: $0.0, isRight: $0.1) }, budget: 0.5)
      for (place, outcome) in outcomes.enumerated() where place % 2 == half {
        learned[place] = rule.confidence(in: outcome.logProbabilities) ?? -.infinity
      }
    }
    curves.append(curve("learned", outcomes, learned))
    // At random, each share gives the mean of the two.
    let (own, other) = (outcomes.count { $0.own }, outcomes.count { $0.other })
    let ends = [own, other].map { Double($0) / Double(max(1, outcomes.count)) }
    curves.append(
      DeferralCurve(
        name: "random", points: [ReportPanel.point(0, ends[0]), ReportPanel.point(100, ends[1])], area: (ends[0] + ends[1]) / 2))
    return curves
  }

  /// The least confident are deferred first; those alike in the mean of all orders.
  private static func curve(_ name: String, _ outcomes: [CascadeOutcome], _ confidence: [Double]) -> DeferralCurve {
    let groups = Dictionary(grouping: outcomes.indices) { confidence[$0] }
    var hits = Double(outcomes.count { $0.own })
    var rates = [hits / Double(outcomes.count)]
    for value in groups.keys.sorted() {
      let group = groups[value] ?? []
      let gain = group.reduce(0.0) { $0 + (outcomes[$1].other ? 1 : 0) - (outcomes[$1].own ? 1 : 0) }
      for _ in group {
        hits += gain / Double(group.count)
        rates.append(hits / Double(outcomes.count))
      }
    }
    let count = Double(outcomes.count)
    return DeferralCurve(
      name: name, points: rates.enumerated().map { ReportPanel.point(100 * Double($0.offset) / count, max(0, $0.element)) },
      area: zip(rates, rates.dropFirst()).reduce(0) { $0 + ($1.0 + $1.1) / 2 } / count)
  }
}
