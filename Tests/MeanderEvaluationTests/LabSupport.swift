import Foundation
import Meander
import MeanderEvaluation
import MeanderFiles
import MeanderTasks
import MeanderTestSupport

/// Lines of a made-up log: text of its own, never the same twice.
let logFiller = DrawnFiller { generator in
  let words = ["disk", "network", "kernel", "service", "started", "stopped", "after", "before", "ready", "slow"]
  return Array("The \(generator.pick(words)) was \(generator.pick(words)) again.\n".utf8)
}

/// A shipped model, read by so many streams.
func subject(_ name: String, streams: Int = 1) async throws -> LabSubject {
  var models: [Model] = []
  for _ in 0..<streams { models.append(try await Model.load(name, engine: Engine(threads: 1))) }
  return LabSubject(models)
}

/// The report's row of a series and a length.
func row(_ report: JSON, _ series: String, _ length: Int) -> JSON? {
  report["results"]?.array?.first { $0["series"]?.string == series && $0["length"]?.integer == length }
}

func bytes(_ path: String) -> [UInt8] { FileManager.default.contents(atPath: path).map { [UInt8]($0) } ?? [] }
