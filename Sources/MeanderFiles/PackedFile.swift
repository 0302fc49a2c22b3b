import Glibc
import MeanderErrors
import SystemPackage

/// A file read from its beginning, in pieces: as it is, or, where its name ends in `.gz` or `.zst`, unpacked by `gzip` or `zstd`
/// running beside this process. However large it is, no more than a piece is held.
package final class PackedFile {
  package let path: String
  private let reader: InputReader
  /// The unpacking process; nil where there is none, or it has been waited for.
  private var process: pid_t?
  private let program: String?
  private var buffer: [UInt8] = []

  /// Opens `path`. Throws `.notFound`, or `.inputOutput` where it cannot be read or the program that unpacks it is missing.
  package init(_ path: String) throws {
    self.path = path
    program = path.hasSuffix(".gz") ? "gzip" : path.hasSuffix(".zst") ? "zstd" : nil
    guard let program else {
      reader = try InputReader(path)
      return
    }
    guard FileStatus(path) != nil else { throw MeanderError(.notFound, "there is no such file", at: path) }
    let (process, descriptor) = try Self.spawn(program, ["-dc", "--", path], path)
    self.process = process
    reader = try InputReader(descriptor: descriptor, path)
  }

  deinit {
    // The program ends by itself when its pipe has no reader; whoever stops early does not wait for it to fail.
    if let process {
      kill(process, SIGKILL)
      waitpid(process, nil, 0)
    }
  }

  /// The next bytes, at most `count` and at least one; nil at the end. Throws `.badData` where the packed file is damaged.
  package func read(_ count: Int) throws -> [UInt8]? {
    while true {
      // A signal that came first is somebody else's to look at.
      guard let got = try reader.read(into: &buffer, upTo: count) else { continue }
      if got > 0 { return Array(buffer.prefix(got)) }
      try settle()
      return nil
    }
  }

  private func settle() throws {
    guard let process else { return }
    self.process = nil
    var status: CInt = 0
    while waitpid(process, &status, 0) < 0, errno == EINTR {}
    guard status == 0 else {
      throw MeanderError(
        .badData, "\(program ?? "the program") could not unpack it", at: path,
        remedy: "Check the file with \(program ?? "its program") -t, and that the program is installed.")
    }
  }

  private static func spawn(_ program: String, _ arguments: [String], _ path: String) throws -> (pid_t, CInt) {
    var ends: [CInt] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw MeanderError(.inputOutput, "no pipe can be opened", at: path, cause: Errno(rawValue: errno))
    }
    for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
    defer { close(ends[1]) }
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO)
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
    // Safe: the strings are copies of this call's own, ended by a null pointer, and freed when the program was started.
    let strings = ([program] + arguments).map { strdup($0) }
    defer { strings.forEach { free($0) } }
    var process = pid_t()
    let code = posix_spawnp(&process, program, &actions, nil, strings + [nil], environ)
    guard code == 0 else {
      close(ends[0])
      throw MeanderError(
        .inputOutput, "\(program) cannot be started", at: path, remedy: "Install \(program).", cause: Errno(rawValue: code))
    }
    return (process, ends[0])
  }
}
