import Glibc
import MeanderErrors
import SystemPackage

/// The reader of our output has gone: the cause of an `.inputOutput` error after which a command ends
/// quietly.
package struct ClosedPipe: Error, CustomStringConvertible {
  package var description: String { "the reader has closed the pipe" }
}

/// Output that grows at its end: a file or standard output. Bytes are gathered until `flush()`, which whoever
/// writes calls when they should be seen.
package final class OutputFile {
  /// What names the output in messages.
  package let name: String
  private let descriptor: FileDescriptor
  private let closes: Bool
  private var buffer: [UInt8] = []
  /// For a file its length, else how much was written here; bytes not yet flushed are counted.
  package private(set) var position: Int64 = 0

  private static let bufferSize = 1 << 16

  /// This process's standard output.
  package static func standardOutput() -> OutputFile {
    OutputFile(FileDescriptor.standardOutput, "standard output", closes: false)
  }

  /// The file at `path`, created where there is none. What it holds stays, and writing goes on at its end;
  /// `truncate(to: 0)` starts it anew.
  package convenience init(_ path: String) throws {
    let descriptor = try opening(path) {
      try FileDescriptor.open(
        path, .writeOnly, options: [.create, .closeOnExec], permissions: FilePermissions(rawValue: 0o666))
    }
    self.init(descriptor, path, closes: true)
    // A pipe or a device has no end to go to.
    position = (try? descriptor.seek(offset: 0, from: .end)) ?? 0
  }

  private init(_ descriptor: FileDescriptor, _ name: String, closes: Bool) {
    self.descriptor = descriptor
    self.name = name
    self.closes = closes
  }

  deinit { if closes { try? descriptor.close() } }

  package func append(_ bytes: [UInt8]) throws { try append(bytes.span.bytes) }

  package func append(_ bytes: RawSpan) throws {
    if buffer.count + bytes.byteCount > Self.bufferSize { try flush() }
    // Safe: the bytes are copied or written inside the call.
    try bytes.withUnsafeBytes { bytes in
      if bytes.count > Self.bufferSize {
        try write(bytes)
      } else {
        buffer.append(contentsOf: bytes)
      }
    }
    position += Int64(bytes.byteCount)
  }

  /// Hands what was gathered to the system.
  package func flush() throws {
    if buffer.isEmpty { return }
    // Bytes that a failed write took are not written twice: the output is broken then anyway.
    defer { buffer.removeAll(keepingCapacity: true) }
    // Safe: the bytes are written inside the call.
    try buffer.withUnsafeBytes { try write($0) }
  }

  /// Cuts a file back to its first `length` bytes, where writing goes on. Throws `.mismatch` where it is
  /// shorter.
  package func truncate(to length: Int64) throws {
    try flush()
    guard length <= position else {
      throw MeanderError(
        .mismatch, "the file has \(position) bytes, fewer than the \(length) that were written to it",
        at: name,
        remedy: "Restore the file, or name another one.")
    }
    guard ftruncate(descriptor.rawValue, off_t(length)) == 0,
      lseek(descriptor.rawValue, off_t(length), SEEK_SET) >= 0
    else {
      // Devices and pipes hold nothing that could be cut.
      if length == 0, errno == EINVAL || errno == ESPIPE { return }
      throw failure(Errno(rawValue: errno))
    }
    position = length
  }

  /// Flushes, and brings a file to the disk.
  package func synchronize() throws {
    try flush()
    // What is no file has nothing to bring to a disk and says EINVAL.
    guard fdatasync(descriptor.rawValue) == 0 || errno == EINVAL || errno == EROFS else {
      throw failure(Errno(rawValue: errno))
    }
  }

  private func write(_ bytes: UnsafeRawBufferPointer) throws {
    do {
      _ = try descriptor.writeAll(bytes)
    } catch {
      throw failure(error)
    }
  }

  private func failure(_ error: any Error) -> MeanderError {
    let closed = error as? Errno == .brokenPipe
    return MeanderError(
      .inputOutput, "the output cannot be written", at: name, cause: closed ? ClosedPipe() : error)
  }
}
