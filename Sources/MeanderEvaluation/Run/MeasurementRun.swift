import Meander
import MeanderErrors
import MeanderFiles
import MeanderTasks
import Synchronization

/// Runs a measurement into a folder: `outcomes.jsonl` as they come, at the end `report.json` and the picture drawn
/// from it.
package struct MeasurementRun: Sendable {
  package let measurement: any Measurement
  package let subject: LabSubject
  package let seed: UInt64
  /// Where everything is left; made where it is missing.
  package let folder: String
  /// Whether outcomes that stand there are gone on from.
  package let resumes: Bool

  package init(
    _ measurement: any Measurement, _ subject: LabSubject, seed: UInt64, folder: String, resumes: Bool = false
  ) {
    self.measurement = measurement
    self.subject = subject
    self.seed = seed
    self.folder = folder
    self.resumes = resumes
  }

  /// How far a run is.
  package struct Progress: Sendable {
    package var unitsDone: Int
    package var units: Int
    /// Read in this run, and to be read in all that is left of it.
    package var bytes: Int
    package var totalBytes: Int
  }

  package struct Ending: Sendable {
    package let report: JSON
    package let isComplete: Bool
  }

  /// Works until all units are done, or until `shouldStop` says so; the report then tells of what there is.
  ///
  /// - Parameter visit: told now and then how far the run is, several times a second.
  package func run(
    shouldStop: @escaping @Sendable () -> Bool = { false }, visit: @escaping @Sendable (Progress) -> Void = { _ in }
  ) async throws -> Ending {
    try Folder.make(folder)
    let units = measurement.units
    let work = Work(
      try OutcomeRecord("\(folder)/outcomes.jsonl", head: JSON(head + measurement.settings), resumes: resumes), units)
    let meter = Meter()
    try await withThrowingTaskGroup(of: Bool.self) { group in
      for number in 0..<subject.streams {
        group.addTask {
          let stream = LabStream(subject, number: number, seed: seed, meter: meter)
          while !Task.isCancelled, let unit = work.next() {
            let outcome = try await measurement.measure(unit, on: stream)
            try work.finish(unit, outcome)
          }
          return true
        }
      }
      group.addTask {
        while !Task.isCancelled, !shouldStop() {
          visit(work.progress(meter))
          try? await Task.sleep(for: .milliseconds(100))
        }
        return false
      }
      do {
        var working = subject.streams
        while working > 0, let isWorker = try await group.next() {
          if !isWorker { break }
          working -= 1
        }
        group.cancelAll()
        try await group.waitForAll()
      } catch let error as MeanderError where error.code == .cancelled {
        group.cancelAll()
        while let result = await group.nextResult() {
          if case .failure(let other as MeanderError) = result, other.code != .cancelled { throw other }
        }
      }
    }
    visit(work.progress(meter))
    return try finish(work.outcomes)
  }

  private func finish(_ outcomes: [JSON?]) throws -> Ending {
    let isComplete = outcomes.allSatisfy { $0 != nil }
    let body = try measurement.report(outcomes)
    let report = JSON(
      head + [("title", .string(measurement.title)), ("complete", .bool(isComplete))] + measurement.settings + body)
    try AtomicFile.write("\(folder)/report.json", mode: 0o644, bytes: report.writeRows())
    if report["results"]?.array?.isEmpty == false {
      let file = try FileBytes.mapping("\(folder)/report.json")
      try AtomicFile.write("\(folder)/report.svg", mode: 0o644, bytes: Array(Report.chart(file).svg().utf8))
    }
    return Ending(report: report, isComplete: isComplete)
  }

  /// What every report begins with.
  private var head: [(String, JSON)] {
    let mitigations: JSON = subject.mitigations.isEmpty ? .string("none") : JSON(subject.mitigations)
    let model = subject.models.first.map { model -> [(String, JSON)] in
      [
        ("model", .string(model.name)), ("fingerprint", .string(model.fingerprint)),
        ("architecture", .string(model.architecture)),
        ("parameters", JSON(model.parameterCount)), ("compute", .string(model.compute.rawValue)),
      ] + (model.statePrecision == .fp32 ? [] : [("state", .string(model.statePrecision.rawValue))])
    }
    return [("mitigations", mitigations), ("task", .string(type(of: measurement).name))] + (model ?? [])
      + [("seed", Int(exactly: seed).map { JSON($0) } ?? .string(String(seed)))]
  }
}

/// The units of a run, handed out one after the other.
private final class Work: Sendable {
  private struct State {
    let record: OutcomeRecord
    var left: [Int]
  }

  private let units: [MeasurementUnit]
  private let totalBytes: Int
  private let state: Mutex<State>

  init(_ record: sending OutcomeRecord, _ units: [MeasurementUnit]) {
    self.units = units
    let left = units.indices.filter { record.outcomes[units[$0].name] == nil }
    totalBytes = left.reduce(0) { $0 + units[$1].bytes }
    state = Mutex(State(record: record, left: left.reversed()))
  }

  func next() -> Int? { state.withLock { $0.left.popLast() } }
  func finish(_ unit: Int, _ outcome: JSON) throws {
    try state.withLock { try $0.record.add(units[unit].name, outcome) }
  }

  var outcomes: [JSON?] { state.withLock { state in units.map { state.record.outcomes[$0.name] } } }

  func progress(_ meter: Meter) -> MeasurementRun.Progress {
    let done = state.withLock { state in units.count { state.record.outcomes[$0.name] != nil } }
    return .init(unitsDone: done, units: units.count, bytes: meter.bytes, totalBytes: totalBytes)
  }
}

extension JSON {
  /// This object with a line for each member, and for each row of a list of objects: for people to read.
  func writeRows() -> [UInt8] {
    guard let object else { return write() + [UInt8(ascii: "\n")] }
    var lines: [[UInt8]] = []
    for member in object.members {
      let key = JSON.string(member.key).write() + Array(": ".utf8)
      if let rows = member.value.array, rows.contains(where: { $0.object != nil }) {
        lines.append(
          key + Array("[\n  ".utf8) + Array(rows.map { $0.write() }.joined(separator: Array(",\n  ".utf8))) + [
            UInt8(ascii: "]")
          ])
      } else {
        lines.append(key + member.value.write())
      }
    }
    return Array("{".utf8) + Array(lines.joined(separator: Array(",\n ".utf8))) + Array("}\n".utf8)
  }
}
