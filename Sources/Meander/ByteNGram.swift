/// An n-gram model of bytes that learns as it reads: the byte that comes is foretold from the five before it.
///
/// Memory is fixed and is part of a stream's state: tables of counters, one for each order from 0 to 5, into which
/// contexts are hashed; two contexts that fall together share a counter. A byte is foretold bit by bit, so that the
/// probabilities of all bytes add up to 1 whatever falls together. What the orders say of a bit is mixed as logits,
/// with weights that learn by how wrong the mixture was (Mahoney's PAQ); there is a set of them for each highest order
/// whose context was seen, and how often. Sums, products and quotients in a fixed order alone: the same input gives
/// the same state and the same figures on every machine.
package struct ByteNGram: Sendable, Equatable {
  package static let order = 5
  /// Counters of the orders from 3 up, as a power of two, unless it is told otherwise.
  package static let standardTable = 19
  /// A context counts as seen this often at most, so that what changed is learned anew.
  private static let limit: UInt32 = 127
  private static let inputs = order + 2
  private static let sets = (order + 1) * 3
  private static let rate = 0.02
  /// The logit of (i + ½) / 4096.
  private static let logits: [Double] = (0..<4096).map { place in
    let share = (Double(place) + 0.5) / 4096
    return (Steady.log2(share) - Steady.log2(1 - share)) * 0.6931471805599453
  }
  private static let untouched = UInt32(1) << 31

  /// The probability of a one in the upper 22 bits, how often the context was seen in the lower 10; all orders, one
  /// behind the other.
  private var counters: [UInt32]
  /// Counters of each order, as powers of two (all nodes of a byte for order 0, all of them behind each byte for order
  /// 1), and where each order's begin.
  private let sizes: [Int]
  private let starts: [Int]
  private var weights: [Double]
  /// The last five bytes, the newest in the lowest place.
  private var history: UInt64 = 0
  // Of the bit at hand; kept here so that reading allocates nothing.
  private var bases: [UInt64]
  private var slots: [Int]
  private var logit: [Double]

  /// - Parameter table: the counters of the orders from 3 up, as a power of two from 16 to 26.
  package init(table: Int = standardTable) {
    let table = min(26, max(16, table))
    sizes = [8, 16, table - 1, table, table, table]
    starts = sizes.reduce(into: [0]) { $0.append($0[$0.count - 1] + 1 << $1) }
    counters = Array(repeating: Self.untouched, count: starts[Self.order + 1])
    weights = Array(repeating: 0.3, count: Self.sets * Self.inputs)
    bases = Array(repeating: 0, count: Self.order + 1)
    slots = Array(repeating: 0, count: Self.order + 1)
    logit = Array(repeating: 0, count: Self.inputs)
    // The bias: what no order says.
    logit[Self.order + 1] = 0.4
  }

  package static func == (a: ByteNGram, b: ByteNGram) -> Bool {
    a.history == b.history && a.weights == b.weights && a.counters == b.counters
  }

  /// The surprise of `byte` in bits, given all bytes before it; then learns it. O(1).
  package mutating func read(_ byte: UInt8) -> Double {
    for order in 2...Self.order { bases[order] = Self.mix(history & (1 << (8 * UInt64(order)) - 1), UInt64(order)) }
    var probability = 1.0
    var node: UInt64 = 1
    for place in (0..<8).reversed() {
      let bit = byte >> UInt8(place) & 1
      let one = readBit(bit, node)
      probability *= bit == 1 ? one : 1 - one
      node = node << 1 | UInt64(bit)
    }
    history = (history << 8 | UInt64(byte)) & 0xFF_FFFF_FFFF
    return -Steady.log2(probability)
  }

  /// The probability that a one was given at `node`, the bits of the byte so far behind a one; then learns the bit.
  private mutating func readBit(_ bit: UInt8, _ node: UInt64) -> Double {
    var set = 0
    for order in 0...Self.order {
      let slot = slot(order, node)
      slots[order] = slot
      let counter = counters[slot]
      let count = Int(counter & 1023)
      if count > 0 {
        logit[order] = Self.logits[Int(counter >> 20)]
        set = 3 * order + min(2, count - 1)
      } else {
        logit[order] = 0
      }
    }
    let first = set * Self.inputs
    var sum = 0.0
    for input in 0..<Self.inputs { sum += weights[first + input] * logit[input] }
    // No bit is certain: a surprise stays finite.
    let one = min(1 - 1e-5, max(1e-5, 1 / (1 + Steady.exp2(-sum * 1.4426950408889634))))
    let step = (Double(bit) - one) * Self.rate
    for input in 0..<Self.inputs { weights[first + input] += step * logit[input] }
    for order in 0...Self.order { learn(slots[order], bit) }
    return one
  }

  private func slot(_ order: Int, _ node: UInt64) -> Int {
    switch order {
    case 0: return Int(node)
    case 1: return starts[1] + Int(history & 255) << 8 + Int(node)
    default: return starts[order] + Int(Self.mix(bases[order], node) >> UInt64(64 - sizes[order]))
    }
  }

  private mutating func learn(_ slot: Int, _ bit: UInt8) {
    let counter = counters[slot]
    let count = counter & 1023
    let value = Int64(counter >> 10)
    // About the mean of what was seen, with half a one and half a zero before it.
    let target: Int64 = bit == 1 ? 4_194_303 : 0
    let moved = value + (target - value) * 2 / (2 * Int64(count) + 3)
    counters[slot] = UInt32(moved) << 10 | min(Self.limit, count + 1)
  }

  private static func mix(_ a: UInt64, _ b: UInt64) -> UInt64 {
    var z = (a &+ 0x9E37_79B9_7F4A_7C15 &* (b &+ 1)) &* 0xBF58_476D_1CE4_E5B9
    z ^= z >> 29
    z = z &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 32)
  }
}

extension ByteNGram {
  /// The state as bytes: the history and the weights, then runs of counters that were touched, each with its place and
  /// length. Untouched ones are left out, so that a short stream has a short state.
  package var bytes: [UInt8] {
    var bytes: [UInt8] = []
    func put(_ value: UInt64, _ width: Int) {
      for place in 0..<width { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(8 * place))) }
    }
    put(history, 8)
    for weight in weights { put(weight.bitPattern, 8) }
    var slot = 0
    while slot < counters.count {
      guard counters[slot] != Self.untouched else {
        slot += 1
        continue
      }
      var end = slot
      while end < counters.count, counters[end] != Self.untouched { end += 1 }
      put(UInt64(slot), 4)
      put(UInt64(end - slot), 4)
      for counter in counters[slot..<end] { put(UInt64(counter), 4) }
      slot = end
    }
    return bytes
  }

  /// What the `bytes` of an n-gram with tables of the standard size gave; nil where it is not that.
  package init?(_ bytes: [UInt8]) {
    self.init()
    var place = 0
    func number(_ width: Int) -> UInt64? {
      guard place + width <= bytes.count else { return nil }
      defer { place += width }
      return (0..<width).reduce(0) { $0 | UInt64(bytes[place + $1]) << UInt64(8 * $1) }
    }
    guard let history = number(8), history <= 0xFF_FFFF_FFFF else { return nil }
    self.history = history
    for place in weights.indices {
      guard let weight = number(8).map({ Double(bitPattern: $0) }), weight.isFinite else { return nil }
      weights[place] = weight
    }
    while place < bytes.count {
      guard let start = number(4), let count = number(4), count > 0, start + count <= UInt64(counters.count) else {
        return nil
      }
      for slot in Int(start)..<Int(start + count) {
        guard let counter = number(4), counter & 1023 <= UInt64(Self.limit) else { return nil }
        counters[slot] = UInt32(counter)
      }
    }
  }
}
