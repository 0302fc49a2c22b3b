import ArgumentParser
import Meander

struct StateCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "state",
    abstract: "Look into snapshots of states.",
    subcommands: [StateShowCommand.self, StateDiffCommand.self])
}

struct StateShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show",
    abstract: "Tell what a state holds: position, model, sizes, and norms per layer and head.",
    discussion: Examples.discussion("show", "The model itself is not needed."))

  @Argument(help: "A file written by --save or --snapshot.")
  var file: String

  @OptionGroup var format: FormatOptions

  func run() async throws {
    let snapshot = try Snapshot(contentsOf: file)
    let layers = StateNorms(snapshot)
    let output = Output.standard()
    if format.json {
      try output.line(JSONText.object { Self.write(snapshot, layers, to: &$0) })
    } else {
      for (label, text) in Self.rows(snapshot) { try output.line(label.rightPadded(to: 20) + " " + text) }
      for line in layers.lines { try output.line(line) }
    }
    try output.flush()
  }

  private static func rows(_ snapshot: Snapshot) -> [(String, String)] {
    [
      ("position", "\(grouped(snapshot.position)) tokens, \(grouped(snapshot.bytesRead)) bytes read"),
      ("model", snapshot.modelName),
      ("fingerprint", snapshot.fingerprint),
      ("compute", "\(snapshot.compute.rawValue), instructions \(snapshot.instructions)"),
      ("state precision", snapshot.statePrecision.rawValue),
      ("mitigations", snapshot.mitigations.isEmpty ? "none" : snapshot.mitigations.joined(separator: " ")),
      ("format", "\(snapshot.formatVersion)"),
      (
        "state",
        "\(grouped(snapshot.regions.reduce(0) { $0 + $1.bytes.count })) bytes in \(snapshot.regions.count) regions"
      )
    ] + snapshot.notes.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  private static func write(_ snapshot: Snapshot, _ norms: StateNorms, to row: inout JSONText) {
    row.field("position", snapshot.position)
    row.field("bytes_read", snapshot.bytesRead)
    row.field("model", snapshot.modelName)
    row.field("fingerprint", snapshot.fingerprint)
    row.field("compute", snapshot.compute.rawValue)
    row.field("instructions", snapshot.instructions)
    row.field("state_precision", snapshot.statePrecision.rawValue)
    row.array("mitigations") { list in snapshot.mitigations.forEach { list.element(string: $0) } }
    row.field("format_version", "\(snapshot.formatVersion)")
    row.field("state_bytes", snapshot.regions.reduce(0) { $0 + $1.bytes.count })
    row.object("notes") { notes in
      for (name, text) in snapshot.notes.sorted(by: { $0.key < $1.key }) { notes.field(name, text) }
    }
    row.array("regions") { list in
      for region in norms.regions {
        list.elementObject { item in
          item.field("name", region.name)
          item.field("type", region.type)
          item.array("shape") { shape in region.shape.forEach { shape.element($0) } }
          item.array("norms") { values in region.norms.forEach { values.element($0, places: 6) } }
        }
      }
    }
  }
}

struct StateDiffCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff",
    abstract: "Tell how far two states lie apart, per layer and head.",
    discussion: Examples.discussion(
      "diff", "Distances are the norm of the difference over the norm of the first state."))

  @Argument(help: "A file written by --save or --snapshot.")
  var a: String

  @Argument(help: "Another.")
  var b: String

  @OptionGroup var format: FormatOptions

  func run() async throws {
    let first = try Snapshot(contentsOf: a)
    let second = try Snapshot(contentsOf: b)
    guard first.fingerprint == second.fingerprint else {
      throw MeanderError(
        .mismatch, "these are states of different models: \(first.fingerprint) and \(second.fingerprint)",
        at: "\(a), \(b)", remedy: "Compare states of one model.")
    }
    let distances = try StateDistances(first, second, places: (a, b))
    let output = Output.standard()
    if format.json {
      try output.line(
        JSONText.object { row in
          row.array("positions") { list in [first, second].forEach { list.element($0.position) } }
          row.field("identical", distances.areIdentical)
          row.object("distances") { distances.write(to: &$0) }
        })
    } else {
      try output.line("position     \(grouped(first.position)) and \(grouped(second.position)) tokens")
      for line in distances.lines { try output.line(line) }
    }
    try output.flush()
  }
}
