import Glibc
import MeanderErrors
import SystemPackage

/// A file that appears whole or not at all: bytes go to a temporary neighbor, which `commit()` brings to the
/// disk and then renames over the old file. Whatever fails before, the old file stands and the neighbor is
/// removed.
///
/// The neighbor's name follows from the file's, so that a process killed while writing leaves at most one
/// behind, which the next write uses again; its lock keeps two processes from writing the same file at once.
/// A link is followed, and what is no regular file (`/dev/stdout`, a pipe) is written directly.
package final class AtomicFile {
  /// The path that was asked for, for messages.
  package let path: String
  private let target: FilePath
  /// The neighbor that is written; nil where the target is written directly.
  private let temporary: FilePath?
  private let descriptor: FileDescriptor
  private var buffer: [UInt8] = []
  private var open = true

  private static let bufferSize = 1 << 18

  /// Starts writing `path`; the new file will have the permissions `mode`. Throws `.inputOutput`, or
  /// `.notFound` where the folder is missing.
  package init(_ path: String, mode: UInt16 = 0o600) throws {
    self.path = path
    if let status = FileStatus(path), !status.isRegular {
      target = FilePath(path)
      temporary = nil
      descriptor = try opening(path) { try FileDescriptor.open(path, .writeOnly, options: [.closeOnExec]) }
      return
    }
    target = Self.resolvingLinks(path)
    guard let name = target.lastComponent?.string else {
      throw MeanderError(.inputOutput, "this names no file", at: path)
    }
    let temporary = target.removingLastComponent().appending(".\(name).temporary")
    self.temporary = temporary
    descriptor = try Self.openLocked(temporary, mode: mode)
  }

  deinit { if open { discard() } }

  /// Writes a file in one go: `body` appends its bytes.
  package static func write(_ path: String, mode: UInt16 = 0o600, _ body: (AtomicFile) throws -> Void) throws
  {
    let file = try AtomicFile(path, mode: mode)
    try body(file)
    try file.commit()
  }

  /// Writes `bytes` as the whole file.
  package static func write(_ path: String, mode: UInt16 = 0o600, bytes: [UInt8]) throws {
    try write(path, mode: mode) { try $0.append(bytes) }
  }

  package func append(_ bytes: [UInt8]) throws { try append(bytes.span.bytes) }

  package func append(_ bytes: RawSpan) throws {
    // Safe: the bytes are copied or written inside the call.
    try bytes.withUnsafeBytes { bytes in
      if buffer.count + bytes.count > Self.bufferSize { try flush() }
      if bytes.count > Self.bufferSize {
        try writing { _ = try descriptor.writeAll(bytes) }
      } else {
        buffer.append(contentsOf: bytes)
      }
    }
  }

  /// Makes the new file the file: after this returns it is on the disk under its name. Nothing may be
  /// appended afterwards.
  package func commit() throws {
    try flush()
    guard let temporary else {
      open = false
      return try writing { try descriptor.close() }
    }
    try writing {
      guard fsync(descriptor.rawValue) == 0 else { throw Errno(rawValue: errno) }
      guard rename(temporary.string, target.string) == 0 else { throw Errno(rawValue: errno) }
      open = false
      try descriptor.close()
      // The name itself is on the disk only once the folder is.
      let folder = target.removingLastComponent()
      let directory = try FileDescriptor.open(
        folder.isEmpty ? FilePath(".") : folder, .readOnly, options: [.directory, .closeOnExec])
      defer { try? directory.close() }
      guard fsync(directory.rawValue) == 0 || errno == EINVAL else { throw Errno(rawValue: errno) }
    }
  }

  private func flush() throws {
    if buffer.isEmpty { return }
    try writing { _ = try descriptor.writeAll(buffer) }
    buffer.removeAll(keepingCapacity: true)
  }

  private func discard() {
    open = false
    if let temporary { unlink(temporary.string) }
    try? descriptor.close()
  }

  private func writing(_ body: () throws -> Void) throws {
    do {
      try body()
    } catch let refusal as Errno {
      let remedy = temporary == nil ? nil : "The file that stood there before is unharmed."
      throw MeanderError(.inputOutput, "the file cannot be written", at: path, remedy: remedy, cause: refusal)
    }
  }

  private static func resolvingLinks(_ path: String) -> FilePath {
    guard let resolved = realpath(path, nil) else { return FilePath(path) }
    defer { free(resolved) }
    // Safe: realpath returns a string that ends in a zero byte, or null.
    return FilePath(String(cString: resolved))
  }

  /// Opens `path` empty, with this process as its only writer.
  private static func openLocked(_ path: FilePath, mode: UInt16) throws -> FileDescriptor {
    for _ in 0..<16 {
      let descriptor = try opening(path.string) {
        try FileDescriptor.open(
          path, .writeOnly, options: [.create, .noFollow, .closeOnExec, .nonBlocking],
          permissions: FilePermissions(rawValue: 0o600))
      }
      do {
        guard flock(descriptor.rawValue, LOCK_EX | LOCK_NB) == 0 else { throw Errno(rawValue: errno) }
        let status = try FileStatus(descriptor.rawValue, path.string)
        guard status.isRegular else { throw Errno.fileExists }
        // Another writer may have renamed the file between our opening it and locking it: then open anew.
        guard let named = FileStatus(path.string), named.inode == status.inode, named.device == status.device
        else {
          try? descriptor.close()
          continue
        }
        guard ftruncate(descriptor.rawValue, 0) == 0, fchmod(descriptor.rawValue, mode_t(mode)) == 0 else {
          throw Errno(rawValue: errno)
        }
        return descriptor
      } catch {
        try? descriptor.close()
        throw MeanderError(
          .inputOutput, "the file cannot be written to, or another process is writing it", at: path.string,
          cause: error)
      }
    }
    throw MeanderError(.inputOutput, "other processes are writing this file", at: path.string)
  }
}
