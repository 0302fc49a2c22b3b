/// A hash table from pairs of 32-bit numbers to 64-bit values: open addressing, at most half full, built once
/// and then only read.
///
/// It holds a BPE vocabulary's merges, its single characters and the neighbors found inside its pieces.
struct PairTable: Sendable {
  private var keys: [UInt64]
  private var values: [UInt64]
  private var shift: UInt64
  private var count = 0

  /// No pair of ids or scalars is all ones, so it can mark an empty place.
  private static let empty = UInt64.max

  /// - Parameter capacity: how many pairs to expect; more are taken, at the price of growing.
  init(capacity: Int) {
    let bits = max(4, Int.bitWidth - (max(1, capacity) * 2 - 1).leadingZeroBitCount)
    keys = [UInt64](repeating: Self.empty, count: 1 << bits)
    values = [UInt64](repeating: 0, count: 1 << bits)
    shift = UInt64(64 - bits)
  }

  static func key(_ left: UInt32, _ right: UInt32) -> UInt64 { UInt64(left) << 32 | UInt64(right) }

  @inline(__always)
  private func home(_ key: UInt64) -> Int {
    Int(truncatingIfNeeded: ((key ^ (key >> 31)) &* 0x9E37_79B9_7F4A_7C15) >> shift)
  }

  /// The value of `key`, or nil. Complexity: constant on average.
  @inline(__always)
  subscript(key: UInt64) -> UInt64? {
    var place = home(key)
    while true {
      let found = keys[place]
      if found == key { return values[place] }
      if found == Self.empty { return nil }
      place = (place &+ 1) & (keys.count &- 1)
    }
  }

  /// Stores `value`; a pair stored before is replaced.
  mutating func insert(_ key: UInt64, _ value: UInt64) {
    precondition(key != Self.empty)
    if count * 2 >= keys.count { grow() }
    var place = home(key)
    while keys[place] != Self.empty && keys[place] != key { place = (place + 1) & (keys.count - 1) }
    if keys[place] == Self.empty { count += 1 }
    keys[place] = key
    values[place] = value
  }

  private mutating func grow() {
    var larger = PairTable(capacity: keys.count)
    for (key, value) in zip(keys, values) where key != Self.empty { larger.insert(key, value) }
    self = larger
  }
}
