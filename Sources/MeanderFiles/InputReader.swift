import Glibc
import MeanderErrors
import SystemPackage

/// A descriptor read piece by piece: a file, a pipe or a terminal. Its position is the system's, so one owner
/// reads.
package final class InputReader: Sendable {
  /// What names the input in messages.
  package let name: String
  private let descriptor: FileDescriptor
  private let closes: Bool
  /// Whether the input can be read again from any byte: it is a regular file.
  package let isSeekable: Bool
  /// Which file this is: the same numbers mean the same file.
  package let device: UInt64
  package let inode: UInt64

  /// This process's standard input.
  package static func standardInput() throws -> InputReader {
    try InputReader(FileDescriptor.standardInput, "standard input", closes: false)
  }

  /// The file at `path`.
  package convenience init(_ path: String) throws {
    let descriptor = try opening(path) { try FileDescriptor.open(path, .readOnly, options: [.closeOnExec]) }
    try self.init(descriptor, path, closes: true)
  }

  /// An open descriptor, which is closed with the reader.
  convenience init(descriptor: CInt, _ name: String) throws {
    try self.init(FileDescriptor(rawValue: descriptor), name, closes: true)
  }

  private init(_ descriptor: FileDescriptor, _ name: String, closes: Bool) throws {
    self.descriptor = descriptor
    self.name = name
    self.closes = closes
    let status: FileStatus
    do {
      status = try FileStatus(descriptor.rawValue, name)
      guard !status.isDirectory else { throw MeanderError(.inputOutput, "this is a folder", at: name) }
    } catch {
      if closes { try? descriptor.close() }
      throw error
    }
    isSeekable = status.isRegular
    device = status.device
    inode = status.inode
  }

  deinit { if closes { try? descriptor.close() } }

  /// The file's size now, in bytes; nil where the input is no regular file.
  package var size: Int64? { isSeekable ? (try? FileStatus(descriptor.rawValue, name))?.size : nil }

  /// The byte that is read next; nil where the input is no regular file.
  package var position: Int64? { isSeekable ? try? descriptor.seek(offset: 0, from: .current) : nil }

  /// Continues at byte `offset` of a seekable input.
  package func seek(to offset: Int64) throws {
    guard isSeekable else {
      throw MeanderError(.badRequest, "the input cannot be read from the middle", at: name)
    }
    do {
      try descriptor.seek(offset: offset, from: .start)
    } catch {
      throw MeanderError(.inputOutput, "the input cannot be read at byte \(offset)", at: name, cause: error)
    }
  }

  /// The bytes of a range of a seekable input, wherever it is being read. Throws `.inputOutput` where it ends before.
  package func bytes(_ range: Range<Int64>) throws -> [UInt8] {
    try descriptor.bytes(range.lowerBound, Int(range.upperBound - range.lowerBound), name)
  }

  /// Reads at most `count` bytes into the start of `buffer`, which is grown to `count` where it is shorter,
  /// and returns how many came: 0 at the end; nil where a signal came first (see `Signals`) or nothing came
  /// for `timeout` milliseconds.
  package func read(into buffer: inout [UInt8], upTo count: Int, timeout: Int? = nil) throws -> Int? {
    precondition(count > 0, "a read of \(count) bytes")
    if buffer.count < count { buffer.append(contentsOf: repeatElement(0, count: count - buffer.count)) }
    guard try waitForInput(timeout.map { CInt(clamping: $0) } ?? -1) else { return nil }
    do {
      // Safe: at most `count` bytes are stored, and the buffer has that many.
      return try buffer.withUnsafeMutableBytes {
        try descriptor.read(into: UnsafeMutableRawBufferPointer(rebasing: $0[..<count]))
      }
    } catch Errno.wouldBlock {
      return nil
    } catch {
      throw MeanderError(.inputOutput, "the input cannot be read", at: name, cause: error)
    }
  }

  /// Waits until a read would not block; false where a signal or the time limit came first.
  private func waitForInput(_ milliseconds: CInt) throws -> Bool {
    var polled = [
      pollfd(fd: Signals.wakeDescriptor, events: Int16(POLLIN), revents: 0),
      pollfd(fd: descriptor.rawValue, events: Int16(POLLIN), revents: 0),
    ]
    guard poll(&polled, 2, milliseconds) >= 0 else {
      if errno == EINTR { return false }
      throw MeanderError(
        .inputOutput, "the input cannot be waited for", at: name, cause: Errno(rawValue: errno))
    }
    if polled[0].revents != 0 {
      Signals.drain()
      return false
    }
    return polled[1].revents != 0
  }
}
