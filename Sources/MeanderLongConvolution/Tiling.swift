/// How a causal convolution is cut into tiles: by the stream's position alone, so that no cut of the input changes a bit.
///
/// The first B lags are a short convolution, computed at once. All others are relaxed (online) products: whenever the stream
/// reaches a multiple of B, the last U inputs are multiplied with the lags B to 2U - 1 of the filter into what the next U outputs
/// wait for; U is the largest power of two that divides the position, and P at most (van der Hoeven 2003; Flash Inference, Oncescu
/// and others 2025). Every pair of an input and a later output meets in exactly one tile; those that are more than P apart have no lag
/// in the filter.
///
/// An input takes the place of the output at its own position, which has been read by then: so a channel keeps P numbers, and no more.
package struct Tiling: Sendable, Hashable {
  /// B, the lags that are convolved directly.
  package static let base = 128

  /// K, the filter's length in lags.
  package let length: Int
  /// P, a power of two of at least K - 1.
  package let period: Int

  package init(length: Int) {
    self.length = length
    var period = Self.base
    while period < length - 1 { period *= 2 }
    self.period = period
  }

  /// Whether there is any lag beyond the direct ones.
  package var hasTiles: Bool { length > Self.base }

  /// The sizes of tiles: B, 2B … P.
  package var sizes: [Int] {
    guard hasTiles else { return [] }
    return Array(sequence(first: Self.base) { $0 < period ? 2 * $0 : nil })
  }

  /// The size U of the tile at `position`, a multiple of B, and where in the period the next outputs begin.
  package func tile(at position: Int64) -> (size: Int, start: Int) {
    let start = Int(position % Int64(period))
    return (start == 0 ? period : start & -start, start)
  }

  /// How many lags a run of `count` tokens has to do with: the direct ones, and those of its tiles, some of which look ahead.
  package func lags(from position: Int64, _ count: Int) -> Int {
    let base = Int64(Self.base)
    let boundaries = stride(from: position - position % base + base, through: position + Int64(count), by: Self.base)
    let largest = hasTiles ? boundaries.reduce(0) { max($0, tile(at: $1).size) } : 0
    return min(length, max(Self.base, 2 * largest))
  }

  /// Where the inputs of that tile stand in the period.
  package func inputs(_ size: Int, before start: Int) -> Range<Int> {
    start == 0 ? 0..<period : start - size..<start
  }

  /// Where its outputs stand: for the largest tile, where the inputs were.
  package func outputs(_ size: Int, from start: Int) -> Range<Int> { start..<start + size }
}
