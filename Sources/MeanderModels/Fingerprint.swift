/// A 128-bit digest of a model's weights by value and of its arithmetic, which tells models apart; it is no
/// cryptographic seal.
///
/// Eight lanes of multiply and rotate take a number each in turn, so that it keeps up with reading; they are
/// folded at the end. The order of reading is the architecture's own and therefore always the same.
package struct Fingerprint {
  private var lanes = SIMD8<UInt64>(
    0x9E37_79B9_7F4A_7C15, 0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB, 0xD6E8_FEB8_6659_FD93,
    0xA076_1D64_78BD_642F, 0xE703_7ED1_A0B4_28DB, 0x8EBC_6AF0_9C88_C6E3, 0x5899_65CC_7537_4CC3)
  private var count: UInt64 = 0

  package init() {}

  /// What tells a model apart: the digest of its weights, and what is computed with them.
  init(weights: String, arithmetic: String) {
    add(weights)
    add(arithmetic)
  }

  package mutating func add(_ values: [Float]) {
    count &+= UInt64(values.count)
    var index = 0
    while index + 8 <= values.count {
      var block = SIMD8<UInt64>()
      for lane in 0..<8 { block[lane] = UInt64(values[index + lane].bitPattern) }
      mix(block)
      index += 8
    }
    guard index < values.count else { return }
    var block = SIMD8<UInt64>(repeating: 0xFFFF_FFFF_FFFF)
    for lane in 0..<(values.count - index) { block[lane] = UInt64(values[index + lane].bitPattern) }
    mix(block)
  }

  /// Adds a text, byte by byte.
  private mutating func add(_ text: String) { add(text.utf8.map { Float($0) }) }

  private mutating func mix(_ block: SIMD8<UInt64>) {
    lanes = (lanes ^ block) &* SIMD8(repeating: 0xFF51_AFD7_ED55_8CCD)
    lanes = lanes ^ (lanes &>> SIMD8(repeating: 29))
  }

  /// 32 hexadecimal digits.
  package var hexadecimal: String {
    var high = count
    var low = ~count
    for lane in 0..<8 {
      high = Self.scramble(high ^ lanes[lane])
      low = Self.scramble(low &+ high)
    }
    return [high, low].map { word in
      let digits = String(word, radix: 16)
      return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
  }

  private static func scramble(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
