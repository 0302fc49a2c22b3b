/// The distribution of bits a byte over the lines of a stream, in fixed memory: a histogram with 32 bins to
/// an octave.
///
/// Bins follow the number's own exponent and leading mantissa bits, so that counting is exact and the same on
/// every machine. A quantile is off by less than 1/32 of its value.
package struct LineHistogram: Sendable, Equatable {
  /// Bins reach from 2^-12 to 2^12 bits a byte; what lies outside is counted in the outermost ones.
  private static let octaves = -12..<12
  private static let binsPerOctave = 32
  private static let binCount = octaves.count * binsPerOctave

  private var counts: [UInt64]
  /// How many lines were counted.
  package private(set) var total: UInt64

  package init() {
    counts = Array(repeating: 0, count: Self.binCount)
    total = 0
  }

  package mutating func add(_ value: Double) {
    counts[Self.bin(of: value)] += 1
    total += 1
  }

  /// The median and the spread, which is the interquartile range over that of a standard normal (1.349).
  /// O(bins).
  package var medianAndSpread: (median: Double, spread: Double) {
    let quartiles = quantiles([0.25, 0.5, 0.75])
    return (quartiles[1], (quartiles[2] - quartiles[0]) / 1.349)
  }

  /// The values below which the given fractions (ascending) of all lines lie, linear within a bin. O(bins).
  package func quantiles(_ fractions: [Double]) -> [Double] {
    var values: [Double] = []
    var below = 0.0
    var bin = 0
    for fraction in fractions {
      let target = fraction * Double(total)
      while bin < counts.count - 1, below + Double(counts[bin]) < target {
        below += Double(counts[bin])
        bin += 1
      }
      let inside = counts[bin] == 0 ? 0 : (target - below) / Double(counts[bin])
      let low = Self.lowerEdge(bin)
      values.append(low + (Self.lowerEdge(bin + 1) - low) * inside)
    }
    return values
  }

  private static func bin(of value: Double) -> Int {
    guard value > 0, value.exponent >= octaves.lowerBound else { return 0 }
    guard value.exponent < octaves.upperBound else { return binCount - 1 }
    let leading = Int(value.significandBitPattern >> (52 - 5))
    return (Int(value.exponent) - octaves.lowerBound) * binsPerOctave + leading
  }

  private static func lowerEdge(_ bin: Int) -> Double {
    let octave = bin / binsPerOctave + octaves.lowerBound
    let within = 1 + Double(bin % binsPerOctave) / Double(binsPerOctave)
    return Double(sign: .plus, exponent: octave, significand: within)
  }
}

extension LineHistogram {
  package func write(to record: inout RecordWriter) {
    let filled = counts.indices.filter { counts[$0] > 0 }
    record.put(UInt64(filled.count))
    for bin in filled {
      record.put(UInt64(bin))
      record.put(counts[bin])
    }
  }

  package init(from record: inout RecordReader) throws {
    self.init()
    for _ in 0..<(try record.count(atMost: Self.binCount)) {
      let bin = try record.count(atMost: Self.binCount - 1)
      counts[bin] = UInt64(try record.count(atMost: 1 << 50))
      total += counts[bin]
    }
  }
}
