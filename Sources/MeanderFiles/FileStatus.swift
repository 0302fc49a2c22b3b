import Glibc
import MeanderErrors
import SystemPackage

/// What the system says of a file: its kind, its size and which file it is.
package struct FileStatus: Sendable {
  private let status: stat

  /// The file behind an open descriptor, named `path` in messages.
  init(_ descriptor: CInt, _ path: String) throws {
    var status = stat()
    guard fstat(descriptor, &status) == 0 else {
      throw MeanderError(.inputOutput, "the file's size is unknown", at: path, cause: Errno(rawValue: errno))
    }
    self.status = status
  }

  /// The file at `path`, links followed; nil where there is none.
  package init?(_ path: String) {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    self.status = status
  }

  package var size: Int64 { Int64(status.st_size) }
  package var isRegular: Bool { status.st_mode & S_IFMT == S_IFREG }
  package var isDirectory: Bool { status.st_mode & S_IFMT == S_IFDIR }
  /// Which file this is: the same numbers mean the same file, whatever its name.
  package var device: UInt64 { UInt64(status.st_dev) }
  package var inode: UInt64 { UInt64(status.st_ino) }
}

/// Runs `open`, turning the system's refusal into an error that names `path`.
func opening<Result>(_ path: String, _ open: () throws -> Result) throws -> Result {
  do {
    return try open()
  } catch let refusal as Errno {
    switch refusal {
    case .noSuchFileOrDirectory, .notDirectory:
      throw MeanderError(
        .notFound, "there is no such file", at: path, remedy: "Check the path.", cause: refusal)
    default:
      throw MeanderError(.inputOutput, "the file cannot be opened", at: path, cause: refusal)
    }
  }
}
