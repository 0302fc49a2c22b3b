import MeanderErrors
import SystemPackage

/// What people read while a command works: standard error, never the payload.
enum Console {
  static func note(_ message: String) { write("meander: \(message)\n") }

  static func report(_ error: any Error) {
    note("\(error)")
  }

  /// Best effort: where nobody can read, there is nobody to tell.
  static func write(_ text: String) { _ = try? FileDescriptor.standardError.writeAll(text.utf8) }
}
