import MeanderErrors
import MeanderFiles

/// Any report that can be drawn.
package enum Report {
  /// The chart of a training log (JSON Lines with `step`) or of a measurement's report (an object with `results`).
  /// Throws `.badData` where the file is neither, or is broken.
  package static func chart(_ file: FileBytes) throws -> Chart {
    guard file.count > 0 else { throw MeanderError(.badData, "the file is empty", at: file.path) }
    let end = (0..<file.count).first { file[$0] == UInt8(ascii: "\n") } ?? file.count
    // A log's first line is a whole object; of a report that is laid out over lines it is only the beginning of one.
    if let first = try? JSON.parse(FileBytes(file.copy(0..<end), path: file.path)), first["step"] != nil {
      return try TrainingLog(file).chart()
    }
    let json = try JSON.parse(file)
    if json["results"] != nil { return try MeasurementReport(json, path: file.path).chart() }
    if json["step"] != nil { return try TrainingLog(FileBytes(json.write(), path: file.path)).chart() }
    throw MeanderError(
      .badData, "this is neither a training log nor a report", at: file.path,
      remedy: "A log has lines with \"step\", a report is an object with \"results\".")
  }

  /// One picture of several reports, which must be of measurements; of one file, whatever it is.
  package static func chart(_ files: [FileBytes]) throws -> Chart {
    if files.count == 1 { return try chart(files[0]) }
    return try MeasurementReport.chart(files.map { try MeasurementReport(try JSON.parse($0), path: $0.path) })
  }
}
