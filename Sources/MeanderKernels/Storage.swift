import Glibc

/// Zeroed, 64-byte-aligned memory that frees itself: what matrices, packed weights and states live in.
///
/// A class, so that every view (`Matrix`, say) keeps it alive and no view can outlive its memory.
package final class Storage: @unchecked Sendable {
  // Safe as Sendable: the class itself never writes after `init`; views are written by one owner at a time, which is
  // the contract of the worker team and of the session that owns a state.
  let base: UnsafeMutableRawPointer
  package let byteCount: Int

  /// Zeroed memory of `byteCount` bytes, which must not be negative.
  package init(byteCount: Int) {
    precondition(byteCount >= 0, "a storage cannot hold \(byteCount) bytes")
    let size = max(64, (byteCount + 63) & ~63)
    // Safe: the size is a positive multiple of the alignment, as aligned_alloc asks; all bytes are written before use.
    guard let memory = aligned_alloc(64, size) else { preconditionFailure("no memory for \(size) bytes") }
    memset(memory, 0, size)
    base = memory
    self.byteCount = byteCount
  }

  deinit { free(base) }
}
