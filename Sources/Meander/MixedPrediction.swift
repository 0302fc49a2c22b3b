/// Two predictions as one: the model's and that of an n-gram that learned from the same stream, weighed by how each
/// has done.
///
/// Of every token the mixed probability is the weighted mean of the model's and of the n-gram's for the token's bytes;
/// weights then move to what foretold it better, and a share of one in a thousand is dealt out anew, so that neither
/// is ever given up. Where tokens are bytes the mixture is a distribution; where they are longer the n-gram's share
/// leaves out that a longer token might have begun alike, so mixed bits are a score and a little below what could be
/// coded with.
package struct MixedPrediction: Sendable, Equatable {
  package private(set) var ngram = ByteNGram()
  /// What the model is given.
  package private(set) var weight = 0.5
  private static let redealt = 0.001

  package init() {}

  package init(ngram: ByteNGram, weight: Double) {
    self.ngram = ngram
    self.weight = weight
  }

  /// The surprise in bits of a token that the model gave `bits` and that stands for `bytes`; for no bytes, the model's
  /// alone.
  package mutating func read(_ bytes: some Sequence<UInt8>, model bits: Double) -> Double {
    var own = 0.0
    var count = 0
    for byte in bytes {
      own += ngram.read(byte)
      count += 1
    }
    if count == 0 { return bits }
    // Relative to the likelier one, so that nothing underflows.
    let least = min(bits, own)
    let model = weight * Steady.exp2(least - bits)
    let other = (1 - weight) * Steady.exp2(least - own)
    let posterior = model / (model + other)
    weight = (1 - Self.redealt) * posterior + Self.redealt / 2
    return least - Steady.log2(model + other)
  }
}

/// Powers and logarithms to base 2 from sums, products and quotients alone: those of a system's library may differ in
/// the last bit from one machine to the next, and what enters a state must not. Off by a few units in the last place.
enum Steady {
  /// For numbers that are positive and normal.
  static func log2(_ value: Double) -> Double {
    // The mantissa in [sqrt 1/2, sqrt 2), whose logarithm is a short series of the area tangent.
    var exponent = Double(value.exponent)
    var mantissa = value.significand
    if mantissa > 1.4142135623730951 {
      mantissa /= 2
      exponent += 1
    }
    let t = (mantissa - 1) / (mantissa + 1)
    let square = t * t
    var sum = 0.0
    for odd in stride(from: 23, through: 1, by: -2) { sum = sum * square + 1 / Double(odd) }
    return exponent + 2 * t * sum * 1.4426950408889634
  }

  /// 0 far below.
  static func exp2(_ value: Double) -> Double {
    guard value > -1000 else { return 0 }
    let whole = value.rounded(.toNearestOrEven)
    let x = (value - whole) * 0.6931471805599453
    var sum = 1.0
    for term in stride(from: 15.0, through: 1, by: -1) { sum = 1 + sum * x / term }
    return Double(sign: .plus, exponent: Int(whole), significand: sum)
  }
}
