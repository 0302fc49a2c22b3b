import ArgumentParser
import Meander

/// Where a session's state comes from and where it goes: the same in every command.
struct StateOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Start from the state in this snapshot.", valueName: "file"))
  var load: String?

  @Option(help: ArgumentHelp("Write the state to this snapshot at the end.", valueName: "file"))
  var save: String?

  /// A session at the loaded state, or at none, which then draws as `sampling` says.
  func session(_ model: Model, sampling: SamplingOptions? = nil) throws -> Session {
    guard let load else { return try Session(model, sampling: sampling) }
    let snapshot = try Snapshot(contentsOf: load)
    if let difference = snapshot.difference(from: model) { Console.note("\(load): \(difference)") }
    return try Session(model, from: snapshot)
  }

  func write(_ session: Session) async throws {
    guard let save else { return }
    try await session.snapshot().write(to: save)
  }
}

/// Whether a program reads the result.
struct FormatOptions: ParsableArguments {
  @Flag(help: "Print JSON, for programs.")
  var json = false
}
