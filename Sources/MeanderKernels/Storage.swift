import Glibc

/// Zeroed, 64-byte-aligned memory that frees itself: what matrices, packed weights and states live in.
///
/// A class, so that every view (`Matrix`, say) keeps it alive and no view can outlive its memory.
package final class Storage: @unchecked Sendable {
  // Safe as Sendable: the class itself never writes after `init`; views are written by one owner at a time, which is
  // the contract of the worker team and of the session that owns a state.
  let base: UnsafeMutableRawPointer
  package let byteCount: Int
  /// Whether the memory was mapped, and is to be unmapped.
  private let isMapped: Bool

  /// From this size on memory is mapped: freed, it goes back to the system at once, where malloc would keep it.
  private static let smallestMapping = 1 << 20

  /// Zeroed memory of `byteCount` bytes, which must not be negative.
  package convenience init(byteCount: Int) {
    if byteCount >= Storage.smallestMapping {
      self.init(reserving: byteCount)
      // All of it will be used, and a fresh state should not cost thousands of page faults. Safe: advice on memory of our
      // own; where the system declines, pages are small.
      madvise(base, byteCount, MADV_HUGEPAGE)
    } else {
      self.init(allocating: byteCount)
    }
  }

  private init(allocating byteCount: Int) {
    precondition(byteCount >= 0, "a storage cannot hold \(byteCount) bytes")
    let size = max(64, (byteCount + 63) & ~63)
    // Safe: the size is a positive multiple of the alignment, as aligned_alloc asks; all bytes are written before use.
    guard let memory = aligned_alloc(64, size) else { preconditionFailure("no memory for \(size) bytes") }
    memset(memory, 0, size)
    base = memory
    self.byteCount = byteCount
    isMapped = false
  }

  /// Zeroed memory of which only what is touched takes up any: for arenas whose need is known by a bound alone.
  package init(reserving byteCount: Int) {
    precondition(byteCount >= 0, "a storage cannot hold \(byteCount) bytes")
    // Safe: an anonymous mapping of this size begins on a page and reads as zeros; failure is held against MAP_FAILED.
    let memory = mmap(nil, max(64, byteCount), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else { preconditionFailure("no address space for \(byteCount) bytes") }
    base = memory
    self.byteCount = byteCount
    isMapped = true
  }

  // Safe: the memory is this storage's own, and is given back the way it was taken.
  deinit {
    if isMapped { munmap(base, max(64, byteCount)) } else { free(base) }
  }
}
