import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab passkey`: a key of five digits, said once in a long text and asked for at its end.
package struct PasskeyMeasurement: Measurement {
  package static let name = "passkey"

  /// What is asked: the wordings by name, `absent` (nothing was said), or named keys.
  package enum Question: Sendable, Hashable {
    case wording(Passkey.Wording)
    /// A question in one of the published wordings for a key that was never said.
    case absent
    /// One of so many named keys, in wordings that vary.
    case keys(Int)
  }

  private let recall: RecallMeasurement
  private let fillerName: String

  /// - Parameters:
  ///   - endings: how questions end; both are asked of one reading.
  ///   - fillerName: what the report calls the filler.
  package init(
    _ questions: [Question], endings: [RecallSeries.Ending] = RecallSeries.Ending.allCases, lengths: [Int],
    samples: Int, depths: RecallDepths = .uniform, filler: any Filler, fillerName: String
  ) {
    let series = questions.map { question in
      switch question {
      case .wording(let wording):
        RecallSeries(
          wording.rawValue, PasskeyTask(wordings: [wording], trailingSpace: 0, opening: 1), endings: endings)
      case .absent:
        RecallSeries("absent", PasskeyTask(trailingSpace: 0, absent: 1, opening: 1), endings: endings, isAbsent: true)
      case .keys(let count):
        RecallSeries("\(count) keys", NeedleTask(keys: count...count, trailingSpace: 0), endings: endings)
      }
    }
    recall = RecallMeasurement(series: series, lengths: lengths, samples: samples, depths: depths, filler: filler)
    self.fillerName = fillerName
  }

  /// The questions that a list of names means: wordings, `published`, `paraphrases`, `all` (wordings), `absent`.
  package static func questions(_ names: [String]) throws -> [Question] {
    try names.flatMap { name -> [Question] in
      switch name {
      case "published": return Passkey.Wording.published.map { .wording($0) }
      case "paraphrases": return Passkey.Wording.paraphrases.map { .wording($0) }
      case "all": return Passkey.Wording.allCases.map { .wording($0) }
      case "absent": return [.absent]
      default:
        if let wording = Passkey.Wording(rawValue: name) { return [.wording(wording)] }
        throw MeanderError(
          .badRequest, "there is no wording '\(name)'", at: "--wording",
          remedy: "There are published, paraphrases, all, absent, and "
            + Passkey.Wording.allCases.map(\.rawValue).joined(separator: ", ") + ".")
      }
    }
  }

  package var title: String { "Pass key recalled, by length" }
  package var settings: [(String, JSON)] {
    [("filler", .string(fillerName))] + recall.settings
  }
  package var units: [MeasurementUnit] { recall.units }
  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    try await recall.measure(unit, on: stream)
  }
  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] { recall.report(outcomes) }
}
