import Glibc

/// Zeroed, 64-byte-aligned memory that frees itself: what matrices, packed weights and states live in.
///
/// A class, so that every view (`Matrix`, say) keeps it alive and no view can outlive its memory.
package final class Storage: @unchecked Sendable {
  // Safe as Sendable: the class itself never writes after `init`; views are written by one owner at a time, which is
  // the contract of the worker team and of the session that owns a state.
  let base: UnsafeMutableRawPointer
  package let byteCount: Int
  private let owner: Owner

  /// Who frees the memory, and how.
  private enum Owner { case allocation, mapping, other }

  /// From this size on memory is mapped: freed, it goes back to the system at once, where malloc would keep it.
  private static let smallestMapping = 1 << 20

  /// Zeroed memory of `byteCount` bytes, which must not be negative.
  package convenience init(byteCount: Int) {
    if byteCount >= Storage.smallestMapping {
      // All of it will be used, and a fresh state should not cost thousands of page faults.
      self.init(reserving: byteCount, inLargePages: true)
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
    owner = .allocation
  }

  /// Zeroed memory of which only what is touched takes up any: for arenas whose need is known by a bound alone.
  ///
  /// - Parameter inLargePages: what is touched is followed by as much as a large page holds, for fewer page faults.
  package init(reserving byteCount: Int, inLargePages: Bool = false) {
    precondition(byteCount >= 0, "a storage cannot hold \(byteCount) bytes")
    // Safe: an anonymous mapping of this size begins on a page and reads as zeros; failure is held against MAP_FAILED.
    let memory = mmap(nil, max(64, byteCount), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
    guard let memory, memory != MAP_FAILED else { preconditionFailure("no address space for \(byteCount) bytes") }
    base = memory
    self.byteCount = byteCount
    owner = .mapping
    if inLargePages { Storage.preferLargePages(base, byteCount) }
  }

  /// Memory that somebody else owns and keeps for longer than anything refers to this.
  init(borrowing base: UnsafeMutableRawPointer, byteCount: Int) {
    (self.base, self.byteCount, owner) = (base, byteCount, .other)
  }

  /// Where the system declines, pages are small.
  static func preferLargePages(_ base: UnsafeMutableRawPointer, _ byteCount: Int) {
    let page = 4096
    let start = (Int(bitPattern: base) + page - 1) & -page
    let end = (Int(bitPattern: base) + byteCount) & -page
    // Safe: advice that changes no number, on whole pages that lie inside the memory.
    if start < end { madvise(UnsafeMutableRawPointer(bitPattern: start), end - start, MADV_HUGEPAGE) }
  }

  // Safe: the memory is this storage's own, and is given back the way it was taken.
  deinit {
    switch owner {
    case .allocation: free(base)
    case .mapping: munmap(base, max(64, byteCount))
    case .other: break
    }
  }
}
