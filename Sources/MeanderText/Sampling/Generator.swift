/// xoshiro256++ (Blackman and Vigna 2019), seeded by SplitMix64 as its authors advise: 32 bytes of state.
package struct Xoshiro: RandomNumberGenerator, Sendable, Equatable {
  package private(set) var words: [UInt64]

  package init(seed: UInt64) {
    var state = seed
    words = (0..<4).map { _ in
      state &+= 0x9E37_79B9_7F4A_7C15
      var z = state
      z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
      z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
      return z ^ (z >> 31)
    }
  }

  /// Nil unless there are four words, not all zero (from which the generator would never leave).
  package init?(words: [UInt64]) {
    guard words.count == 4, words.contains(where: { $0 != 0 }) else { return nil }
    self.words = words
  }

  package mutating func next() -> UInt64 {
    let sum = words[0] &+ words[3]
    let result = (sum << 23 | sum >> 41) &+ words[0]
    let shifted = words[1] << 17
    words[2] ^= words[0]
    words[3] ^= words[1]
    words[1] ^= words[2]
    words[0] ^= words[3]
    words[2] ^= shifted
    words[3] = words[3] << 45 | words[3] >> 19
    return result
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }
}
