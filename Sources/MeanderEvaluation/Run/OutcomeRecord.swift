import MeanderErrors
import MeanderFiles

/// The outcomes of a run, a line each, written as they come: what a stopped run goes on from, and what its report was
/// made of.
///
/// The first line says what was measured and how; only a run of which it says the same may go on with the file.
final class OutcomeRecord {
  private let file: OutputFile
  /// By the unit's name.
  private(set) var outcomes: [String: JSON] = [:]

  /// Starts `path`, or with `resumes` goes on with what stands there, if anything does. A last line that was not finished is cut
  /// off. Throws `.mismatch` where the file belongs to another measurement, and `.badRequest` where outcomes stand there that nobody
  /// asked to go on with: they may have taken hours.
  init(_ path: String, head: JSON, resumes: Bool) throws {
    var end = 0
    if FileStatus(path) != nil {
      if resumes {
        end = try Self.read(path, head: head, into: &outcomes)
      } else if try FileBytes.mapping(path).copy().count(where: { $0 == UInt8(ascii: "\n") }) > 1 {
        throw MeanderError(
          .badRequest, "outcomes of an earlier run stand here", at: path,
          remedy: "Go on with --resume, name another folder, or remove the file.")
      }
    }
    file = try OutputFile(path)
    try file.truncate(to: Int64(end))
    if end == 0 { try write(head) }
  }

  func add(_ unit: String, _ outcome: JSON) throws {
    outcomes[unit] = outcome
    try write(JSON([("unit", .string(unit)), ("outcome", outcome)]))
  }

  private func write(_ line: JSON) throws {
    try file.append(line.write() + [UInt8(ascii: "\n")])
    try file.flush()
  }

  /// Reads whole lines; returns where the last of them ends.
  private static func read(_ path: String, head: JSON, into outcomes: inout [String: JSON]) throws -> Int {
    let file = try FileBytes.mapping(path)
    var start = 0
    while let end = (start..<file.count).first(where: { file[$0] == UInt8(ascii: "\n") }) {
      let line = try JSON.parse(FileBytes(file.copy(start..<end), path: path))
      if start == 0 {
        guard line.write() == head.write() else {
          throw MeanderError(
            .mismatch, "these outcomes belong to another measurement, model or seed", at: path,
            remedy: "Name another folder, give the options that it was begun with, or remove the file to start anew.")
        }
      } else if let unit = line["unit"]?.string, let outcome = line["outcome"] {
        outcomes[unit] = outcome
      } else {
        throw MeanderError(
          .badData, "byte \(start) begins no outcome", at: path, remedy: "Remove the file to start anew.")
      }
      start = end + 1
    }
    return start
  }
}
