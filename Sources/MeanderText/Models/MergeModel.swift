/// Byte-pair encoding (Sennrich et al. 2016): adjacent symbols are merged, the best-ranked pair first, the
/// leftmost of equals.
struct MergeModel: Sendable {
  /// (left id, right id) to rank << 32 | id of the two merged.
  let merges: PairTable

  /// One symbol of a word while it is being merged.
  struct Symbol: Sendable, Equatable {
    var id: Int32
    /// How many bytes of the text it stands for.
    var length: Int32
  }

  /// Rooms that merging reuses from word to word.
  struct Scratch: Sendable {
    var symbols: [Symbol] = []
    fileprivate var ranks: [UInt64] = []
    fileprivate var previous: [Int32] = []
    fileprivate var next: [Int32] = []
    fileprivate var heap: [UInt64] = []
  }

  /// Words of more symbols than this go through a heap.
  private static let shortWord = 40
  private static let noMerge = UInt64.max

  /// Merges `scratch.symbols` in place. Complexity: O(n log n); quadratic for words of at most 40 symbols,
  /// where it is faster.
  func merge(_ scratch: inout Scratch) {
    if scratch.symbols.count <= Self.shortWord { mergeShort(&scratch) } else { mergeLong(&scratch) }
  }

  @inline(__always)
  private func merged(_ left: Symbol, _ right: Symbol) -> UInt64 {
    merges[PairTable.key(UInt32(bitPattern: left.id), UInt32(bitPattern: right.id))] ?? Self.noMerge
  }

  private func mergeShort(_ scratch: inout Scratch) {
    var count = scratch.symbols.count
    guard count > 1 else { return }
    scratch.ranks.removeAll(keepingCapacity: true)
    for place in 0..<count - 1 { scratch.ranks.append(merged(scratch.symbols[place], scratch.symbols[place + 1])) }
    while count > 1 {
      var best = Self.noMerge
      var place = 0
      for candidate in 0..<count - 1 where scratch.ranks[candidate] >> 32 < best >> 32 {
        best = scratch.ranks[candidate]
        place = candidate
      }
      if best == Self.noMerge { break }
      scratch.symbols[place].id = Int32(truncatingIfNeeded: best)
      scratch.symbols[place].length += scratch.symbols[place + 1].length
      scratch.symbols.remove(at: place + 1)
      scratch.ranks.remove(at: place)
      count -= 1
      if place > 0 { scratch.ranks[place - 1] = merged(scratch.symbols[place - 1], scratch.symbols[place]) }
      if place < count - 1 { scratch.ranks[place] = merged(scratch.symbols[place], scratch.symbols[place + 1]) }
    }
  }

  /// A linked list of symbols, and a heap of rank << 32 | place. An entry whose pair has changed since is
  /// passed over.
  private func mergeLong(_ scratch: inout Scratch) {
    let count = scratch.symbols.count
    scratch.previous = (0..<Int32(count)).map { $0 - 1 }
    scratch.next = (0..<Int32(count)).map { $0 + 1 }
    scratch.heap.removeAll(keepingCapacity: true)
    for place in 0..<count - 1 { pushCandidate(place, place + 1, &scratch) }
    while let best = popSmallest(&scratch.heap) {
      let left = Int(best & 0xFFFF_FFFF)
      let right = Int(scratch.next[left])
      guard scratch.symbols[left].length > 0, right < count else { continue }
      let found = merged(scratch.symbols[left], scratch.symbols[right])
      guard found != Self.noMerge, found >> 32 == best >> 32 else { continue }
      scratch.symbols[left].id = Int32(truncatingIfNeeded: found)
      scratch.symbols[left].length += scratch.symbols[right].length
      scratch.symbols[right].length = 0
      let after = Int(scratch.next[right])
      scratch.next[left] = Int32(after)
      if after < count {
        scratch.previous[after] = Int32(left)
        pushCandidate(left, after, &scratch)
      }
      let before = Int(scratch.previous[left])
      if before >= 0 { pushCandidate(before, left, &scratch) }
    }
    scratch.symbols.removeAll { $0.length == 0 }
  }

  private func pushCandidate(_ left: Int, _ right: Int, _ scratch: inout Scratch) {
    let found = merged(scratch.symbols[left], scratch.symbols[right])
    if found != Self.noMerge { pushSmallest((found >> 32) << 32 | UInt64(left), &scratch.heap) }
  }
}

/// Binary min-heap: adds `value`.
private func pushSmallest(_ value: UInt64, _ heap: inout [UInt64]) {
  heap.append(value)
  var child = heap.count - 1
  while child > 0, heap[child] < heap[(child - 1) / 2] {
    heap.swapAt(child, (child - 1) / 2)
    child = (child - 1) / 2
  }
}

/// Binary min-heap: takes the smallest out.
private func popSmallest(_ heap: inout [UInt64]) -> UInt64? {
  guard let smallest = heap.first else { return nil }
  let last = heap.removeLast()
  if heap.isEmpty { return smallest }
  heap[0] = last
  var parent = 0
  while true {
    var child = 2 * parent + 1
    guard child < heap.count else { return smallest }
    if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
    guard heap[child] < heap[parent] else { return smallest }
    heap.swapAt(child, parent)
    parent = child
  }
}
