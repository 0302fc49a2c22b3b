import Glibc
import MeanderErrors
import SystemPackage

/// Read-only bytes of a file: mapped, held by the program itself (a shipped model), or in memory.
///
/// A mapped file costs address space until its pages are read, and `release()` gives those back. The size is
/// taken when the file is opened: a file that another program cuts shorter while it is mapped ends this one
/// with SIGBUS, as it does for every program that maps files. Replace model files by renaming a new one over
/// the old, never by writing into them.
package final class FileBytes: @unchecked Sendable {
  // Safe as Sendable: the bytes are never written after `init`, and are given back in `deinit` alone.
  private enum Source { case mapping, constant, heap }

  private let buffer: UnsafeRawBufferPointer
  private let source: Source
  /// The file's path, or what else names it in a message.
  package let path: String
  /// How many bytes there are.
  package var count: Int { buffer.count }

  /// A copy of `bytes`, named `path` in messages.
  package init(_ bytes: [UInt8], path: String) {
    let memory = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 64)
    // Safe: the allocation has exactly as many bytes as are copied into it.
    memory.copyBytes(from: bytes)
    buffer = UnsafeRawBufferPointer(memory)
    source = .heap
    self.path = path
  }

  /// The constant bytes of this program at `constant`, which live as long as it does.
  init(constant: UnsafeRawBufferPointer, path: String) {
    buffer = constant
    source = .constant
    self.path = path
  }

  private init(mapping: UnsafeRawBufferPointer, path: String) {
    buffer = mapping
    source = .mapping
    self.path = path
  }

  /// Maps the file at `path`. Throws `.notFound` where there is none, and `.inputOutput` where it cannot be
  /// read or is not a regular file (a folder, a pipe, a device).
  package static func mapping(_ path: String) throws -> FileBytes {
    // O_NONBLOCK: opening a pipe that nobody writes to must not wait; it means nothing to a regular file.
    let descriptor = try opening(path) {
      try FileDescriptor.open(path, .readOnly, options: [.closeOnExec, .nonBlocking])
    }
    defer { try? descriptor.close() }
    let status = try FileStatus(descriptor.rawValue, path)
    guard status.isRegular else {
      throw MeanderError(
        .inputOutput, "this is not a regular file", at: path, remedy: "Name a file that can be mapped.")
    }
    guard let size = Int(exactly: status.size), size > 0 else {
      return FileBytes(mapping: UnsafeRawBufferPointer(start: nil, count: 0), path: path)
    }
    // Safe: a private, read-only mapping of a size that the file has; `deinit` unmaps the same range.
    guard let start = mmap(nil, size, PROT_READ, MAP_PRIVATE, descriptor.rawValue, 0), start != MAP_FAILED
    else {
      throw MeanderError(.inputOutput, "the file cannot be mapped", at: path, cause: Errno(rawValue: errno))
    }
    return FileBytes(mapping: UnsafeRawBufferPointer(start: start, count: size), path: path)
  }

  deinit {
    switch source {
    case .mapping where !buffer.isEmpty:
      // Safe: exactly the range that `mapping` mapped, and no view of it outlives this object.
      munmap(UnsafeMutableRawPointer(mutating: buffer.baseAddress), buffer.count)
    case .heap:
      // Safe: allocated in `init`, freed here alone.
      buffer.deallocate()
    default: break
    }
  }

  /// The byte at `offset`, which must lie below `count`.
  package subscript(offset: Int) -> UInt8 {
    precondition(offset >= 0 && offset < count, "byte \(offset) of \(count)")
    return buffer[offset]
  }

  /// Calls `body` with the bytes in `range` (all where left out), which must lie within the file.
  package func withBytes<Result>(
    _ range: Range<Int>? = nil, _ body: (RawSpan) throws -> Result
  ) rethrows -> Result {
    let range = range ?? 0..<count
    precondition(range.lowerBound >= 0 && range.upperBound <= count, "bytes \(range) of \(count)")
    // Safe: the span cannot leave `body`, and `self` holds the memory that long.
    return try withExtendedLifetime(self) { try body(UnsafeRawBufferPointer(rebasing: buffer[range]).bytes) }
  }

  /// A copy of the bytes in `range` (all where left out), which must lie within the file.
  package func copy(_ range: Range<Int>? = nil) -> [UInt8] {
    // Safe: the bytes are copied inside the call.
    withBytes(range) { span in span.withUnsafeBytes { [UInt8]($0) } }
  }

  /// Gives the pages that were read back to the system; the next read fetches them from the file again. Only
  /// whole pages of these bytes are given back, so that neighbors in a program's constants stay.
  package func release() {
    guard source != .heap, let start = buffer.baseAddress else { return }
    let page = Int(getpagesize())
    let address = Int(bitPattern: start)
    let first = (address + page - 1) / page * page
    let last = (address + buffer.count) / page * page
    // Safe: whole pages of a read-only, file-backed range: nothing in them can be lost.
    if last > first { madvise(UnsafeMutableRawPointer(bitPattern: first), last - first, MADV_DONTNEED) }
  }
}

extension RawSpan {
  /// The byte at `offset`, which must lie below `byteCount` (checked).
  func byte(_ offset: Int) -> UInt8 {
    // Safe: the offset is checked by the call, and every byte is a UInt8.
    unsafeLoad(fromByteOffset: offset, as: UInt8.self)
  }

  /// The little-endian number of `Number`'s width at `offset`; nil where it would pass the end.
  func number<Number: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, as type: Number.Type) -> Number? {
    let width = MemoryLayout<Number>.size
    guard offset >= 0, offset <= byteCount - width else { return nil }
    // Safe: the range was checked above, and every bit pattern is a number.
    return Number(littleEndian: unsafeLoadUnaligned(fromByteOffset: offset, as: Number.self))
  }

  /// The text in `range`; nil where it is not UTF-8.
  func text(_ range: Range<Int>) -> String? {
    guard let valid = try? UTF8Span(validating: Span<UInt8>(_bytes: extracting(range))) else { return nil }
    return String(copying: valid)
  }
}
