/// Distinct 64-bit keys of which only as many are brought into ascending order as are asked for.
///
/// A vocabulary holds up to a quarter of a million tokens, and most samplers look at the first few dozen.
package struct RankedKeys: Sendable {
  package private(set) var keys: [UInt64]
  /// `keys[..<sortedCount]` is ascending, and no later key is smaller.
  private(set) var sortedCount = 0

  package init(_ keys: [UInt64]) { self.keys = keys }

  var count: Int { keys.count }

  /// Brings the smallest `count` keys (or all) to the front in order. O(n + count · log count), and asking
  /// for one more at a time costs no more in total, since the sorted part doubles.
  package mutating func sort(first wanted: Int) {
    guard wanted > sortedCount, sortedCount < keys.count else { return }
    var end = max(wanted, 2 * sortedCount, 64)
    if end >= keys.count / 2 { end = keys.count } else { partition(at: end) }
    keys[sortedCount..<end].sort()
    sortedCount = end
  }

  mutating func keep(first kept: Int) {
    sort(first: kept)
    keys.removeSubrange(min(kept, keys.count)...)
    sortedCount = min(sortedCount, keys.count)
  }

  /// Removes the smallest `dropped` keys.
  mutating func drop(first dropped: Int) {
    sort(first: dropped)
    keys.removeFirst(dropped)
    sortedCount -= dropped
  }

  /// Removes every key above `bound`; the rest keeps its order.
  mutating func keep(through bound: UInt64) {
    keys.removeAll { $0 > bound }
    sortedCount = min(sortedCount, keys.count)
  }

  /// Hoare's selection: afterwards every key before `boundary` is smaller than every key from it on.
  private mutating func partition(at boundary: Int) {
    var low = sortedCount
    var high = keys.count - 1
    while low < high {
      let pivot = median(keys[low], keys[(low + high) / 2], keys[high])
      var i = low
      var j = high
      while i <= j {
        while keys[i] < pivot { i += 1 }
        while keys[j] > pivot { j -= 1 }
        if i <= j {
          keys.swapAt(i, j)
          i += 1
          j -= 1
        }
      }
      if boundary <= j { high = j } else if boundary >= i { low = i } else { return }
    }
  }

  private func median(_ a: UInt64, _ b: UInt64, _ c: UInt64) -> UInt64 { max(min(a, b), min(max(a, b), c)) }
}
