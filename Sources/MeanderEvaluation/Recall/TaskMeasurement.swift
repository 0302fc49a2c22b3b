import MeanderErrors
import MeanderFiles
import MeanderTasks

/// `lab recall`: the tasks of recall that papers report on, by length.
package struct TaskMeasurement: Measurement {
  package static let name = "recall"

  private let recall: RecallMeasurement
  private let fillerName: String

  package init(
    _ series: [RecallSeries], lengths: [Int], samples: Int, depths: RecallDepths = .uniform, filler: any Filler,
    fillerName: String
  ) {
    recall = RecallMeasurement(series: series, lengths: lengths, samples: samples, depths: depths, filler: filler)
    self.fillerName = fillerName
  }

  /// What is measured where nothing else is asked for, by name.
  package static let standard: [RecallSeries] = [
    RecallSeries("mqar-4", AssociativeRecall(pairs: 4...4), rule: .exact),
    RecallSeries("mqar-16", AssociativeRecall(pairs: 16...16), rule: .exact),
    RecallSeries("mqar-64", AssociativeRecall(pairs: 64...64), rule: .exact),
    RecallSeries("selective-copying", SelectiveCopying(), rule: .exact),
    RecallSeries("induction", InductionHeads(), rule: .exact),
    RecallSeries("phonebook", Phonebook()),
    RecallSeries("variable-tracking", VariableTracking(), rule: .share),
    RecallSeries("frequent-words", FrequentWords(), rule: .share),
    RecallSeries("needle-single", needles(keys: 1)),
    RecallSeries("needle-multikey", needles(keys: 4)),
    RecallSeries("needle-multivalue", needles(keys: 1, values: 4), rule: .share),
    RecallSeries("needle-multiquery", needles(keys: 4, queries: 4), rule: .share),
  ]

  private static func needles(keys: Int, values: Int = 1, queries: Int = 1) -> NeedleTask {
    NeedleTask(
      keys: keys...keys, values: values, queries: queries, digits: 7, isRuler: true, twice: 0, trailingSpace: 0)
  }

  /// The series of those names. Throws `.badRequest` for one that is unknown.
  package static func series(_ names: [String]) throws -> [RecallSeries] {
    try names.map { name in
      guard let series = standard.first(where: { $0.name == name }) else {
        throw MeanderError(
          .badRequest, "there is no task '\(name)'", at: "--tasks",
          remedy: "There are \(standard.map(\.name).joined(separator: ", ")).")
      }
      return series
    }
  }

  /// One task with options as recipes have them (Docs/Tasks.md).
  package static func series(task: String, options: String) throws -> RecallSeries {
    let json = try JSON.parse(FileBytes(Array(options.utf8), path: "--options"))
    let made = try RecallTasks.make(task, Configuration(json, file: "--options"), file: "--options")
    let rule: RecallSeries.Rule =
      switch made {
      case is AssociativeRecall, is SelectiveCopying, is InductionHeads: .exact
      case is VariableTracking, is FrequentWords: .share
      case let needles as NeedleTask where needles.values * needles.queries > 1: .share
      default: .contains
      }
    return RecallSeries("\(task) \(String(decoding: json.write(), as: UTF8.self))", made, rule: rule)
  }

  package var title: String { "Recall, by length" }
  package var settings: [(String, JSON)] { [("filler", .string(fillerName))] + recall.settings }
  package var units: [MeasurementUnit] { recall.units }
  package func measure(_ unit: Int, on stream: LabStream) async throws -> JSON {
    try await recall.measure(unit, on: stream)
  }
  package func report(_ outcomes: [JSON?]) -> [(String, JSON)] { recall.report(outcomes) }
}
