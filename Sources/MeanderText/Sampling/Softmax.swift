/// exp, log and sums in double precision from additions and multiplications alone.
///
/// The samplers promise the same token from the same seed on every machine, which the C library's exp and log
/// (whose last bit differs between systems) would break. Without fused multiply-add the loops vectorize on
/// any CPU, and the tokenizer library needs no kernels.
enum Softmax {
  /// 1.5 · 2^52: adding it rounds to an integer, which then stands in the lowest bits.
  private static let rounder = 0x1.8p52
  private static let logTwoHigh = 0x1.62e42feep-1
  private static let logTwoLow = 0x1.a39ef35793c76p-33

  /// e^x for x up to 709, within 1e-15 relative; 0 below -708.
  ///
  /// x = k · ln 2 + r with |r| ≤ ln 2 / 2, then Taylor's series of e^r to r^13 and k added to the exponent.
  @inline(__always)
  static func exponential(_ x: Double) -> Double {
    let shifted = x * 1.4426950408889634 + rounder
    let k = shifted - rounder
    let r = (x - k * logTwoHigh) - k * logTwoLow
    var sum = r * (1 / 6227020800.0) + (1 / 479001600.0)
    sum = sum * r + (1 / 39916800.0)
    sum = sum * r + (1 / 3628800.0)
    sum = sum * r + (1 / 362880.0)
    sum = sum * r + (1 / 40320.0)
    sum = sum * r + (1 / 5040.0)
    sum = sum * r + (1 / 720.0)
    sum = sum * r + (1 / 120.0)
    sum = sum * r + (1 / 24.0)
    sum = sum * r + (1 / 6.0)
    sum = sum * r + 0.5
    sum = sum * r + 1
    sum = sum * r + 1
    let scaled = Double(bitPattern: sum.bitPattern &+ shifted.bitPattern << 52)
    return x < -708 ? 0 : scaled
  }

  /// The natural logarithm of a positive, normal x, within 1e-15 relative.
  ///
  /// x = 2^k · m with m near 1, then log m = 2 · artanh((m - 1) / (m + 1)) by its series.
  static func logarithm(_ x: Double) -> Double {
    var k = Double(x.exponent)
    var m = x.significand
    if m > 1.4142135623730951 {
      m *= 0.5
      k += 1
    }
    let s = (m - 1) / (m + 1)
    let z = s * s
    var sum = 0.0
    for n in stride(from: 23, through: 3, by: -2) { sum = (sum + 1 / Double(n)) * z }
    return k * logTwoHigh + (2 * s * sum + k * logTwoLow + 2 * s)
  }

  static func logarithm2(_ x: Double) -> Double { logarithm(x) * 1.4426950408889634 }

  /// x^y for positive x.
  static func power(_ x: Double, _ y: Double) -> Double { exponential(min(709, y * logarithm(x))) }

  /// Fills `weights` with e^((value - maximum) · scale), one for each value.
  @inline(__always)
  static func fill(
    _ weights: inout [Double], count: Int, maximum: Double, scale: Double, value: (Int) -> Float
  ) {
    for i in 0..<count { weights[i] = exponential((Double(value(i)) - maximum) * scale) }
  }

  /// The sum of e^((value - maximum) · scale) over `count` values, in an order that depends on `count` alone:
  /// eight running sums, value i in sum i mod 8, then joined pairwise. O(count), constant memory.
  @inline(__always)
  static func total(count: Int, maximum: Double, scale: Double = 1, value: (Int) -> Float) -> Double {
    let block = 1024
    var weights = [Double](repeating: 0, count: block)
    var sums = SIMD8<Double>(repeating: 0)
    var start = 0
    while start < count {
      let length = min(block, count - start)
      fill(&weights, count: length, maximum: maximum, scale: scale) { value(start + $0) }
      for i in length..<block { weights[i] = 0 }
      for i in stride(from: 0, to: length, by: 8) {
        sums += SIMD8(
          weights[i], weights[i + 1], weights[i + 2], weights[i + 3],
          weights[i + 4], weights[i + 5], weights[i + 6], weights[i + 7])
      }
      start += length
    }
    let fours = sums.lowHalf + sums.highHalf
    let twos = fours.lowHalf + fours.highHalf
    return twos.x + twos.y
  }
}
