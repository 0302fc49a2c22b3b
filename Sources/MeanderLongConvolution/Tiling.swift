/// How a causal convolution is cut into tiles: by the stream's position alone, so that no cut of the input changes a bit.
///
/// The first B lags are a short convolution, computed at once. All others are relaxed (online) products of several levels (van der
/// Hoeven 2003 and 2007; with two blocks a level, Flash Inference, Oncescu and others 2025). A level cuts the stream into blocks of s
/// tokens, and so many of them make a block of the next level. Whenever the stream reaches a multiple of s, the inputs before it
/// that lie in the same block of the next level give to the s outputs behind it: one transform for each block of inputs, one back,
/// and between them sums of products with the filter's pieces. Blocks of the largest level are P tokens: what is older than the
/// last multiple of P is multiplied with the whole filter at once. Every pair of an input and a later output meets in exactly one
/// tile; those that are more than P apart have no lag in the filter.
///
/// A tile is computed when the first of its outputs is asked for. An input takes the place of the output at its own position, which
/// has been read by then: so a channel keeps P numbers, and no more.
package struct Tiling: Sendable, Hashable {
  /// B, the lags that are convolved directly.
  package static let base = 128

  /// K, the filter's length in lags.
  package let length: Int
  /// P, a power of two of at least K - 1.
  package let period: Int
  /// The smallest first; none where no lag lies beyond the direct ones. The last is that of the period.
  package let levels: [Level]

  /// Blocks of `size` tokens, `blocks` of which are a block of the next level.
  package struct Level: Sendable, Hashable {
    package let size, blocks: Int
    /// The piece j ≥ 1 of the filter has the lags from (j - 1)·s on, 2s of them.
    package var pieces: Int { blocks - 1 }
    package var parent: Int { size * blocks }
  }

  package init(length: Int) {
    self.length = length
    var period = Self.base
    while period < length - 1 { period *= 2 }
    self.period = period
    var levels: [Level] = []
    var size = Self.base
    // More blocks mean fewer transforms of what is read at once, and more of them again where a stream goes on token by token.
    while size < period {
      let level = Level(size: size, blocks: min(period / size, levels.isEmpty ? 16 : 8))
      levels.append(level)
      size = level.parent
    }
    self.levels = length > Self.base ? levels + [Level(size: period, blocks: 2)] : []
  }

  /// Whether there is any lag beyond the direct ones.
  package var hasTiles: Bool { !levels.isEmpty }

  /// What is computed when the stream is at `position`, a multiple of B but not 0, in places of the period.
  package func tile(at position: Int64) -> Tile {
    let start = Int(position % Int64(period))
    guard start > 0, let level = levels.lastIndex(where: { start % $0.size == 0 }) else {
      return Tile(level: levels.count - 1, inputs: 0..<period, outputs: 0..<period)
    }
    let own = levels[level]
    return Tile(level: level, inputs: start - start % own.parent..<start, outputs: start..<start + own.size)
  }

  package struct Tile: Sendable, Hashable {
    package let level: Int
    /// Where the inputs stand, whole blocks, and the outputs: for the period's tile where the inputs were.
    package let inputs, outputs: Range<Int>
  }

  /// How many lags a run of `count` tokens has to do with: the direct ones, and those of its tiles, some of which look ahead.
  package func lags(from position: Int64, _ count: Int) -> Int {
    guard hasTiles else { return length }
    let base = Int64(Self.base)
    let boundaries = stride(from: max(base, (position + base - 1) / base * base), to: position + Int64(count), by: Self.base)
    let most = boundaries.reduce(Self.base) {
      let tile = tile(at: $1)
      return max($0, tile.inputs.count + tile.outputs.count)
    }
    return min(length, most)
  }
}

/// The tiles of one level that stand side by side in a block of the next one: what is computed together when it is read together.
struct TileRow {
  let level: Int
  /// Where the first block of inputs begins.
  let start: Int
  /// Of the first tile's outputs, in blocks from there on; and how many tiles there are.
  let first, count: Int
}

/// Where the tokens of a run that stays within one period stand among places and blocks.
struct RunPlaces {
  /// The places of the first token and behind the last.
  let tokens: Range<Int>
  /// Where the tiles of the run stand: multiples of B.
  let boundaries: Range<Int>
  /// Whether the run begins with the period's tile.
  let wraps: Bool

  init(_ position: Int64, _ count: Int, _ tiling: Tiling) {
    let (start, base) = (Int(position % Int64(tiling.period)), Tiling.base)
    tokens = start..<start + count
    let first = position == 0 ? base : (start + base - 1) / base * base
    let last = count == 0 ? 0 : (tokens.upperBound - 1) / base * base
    boundaries = tiling.hasTiles && count > 0 && last >= first ? first..<last + 1 : 0..<0
    wraps = !boundaries.isEmpty && start == 0 && position > 0
  }

  /// Whether the outputs of the first block were asked for in part before.
  var beginsWithinBlock: Bool { tokens.lowerBound % Tiling.base != 0 }

  /// The beginning of the block that the run ends in.
  private var last: Int { boundaries.upperBound - 1 }

  /// The outputs that the run asks for, and those behind it in its last block: whole blocks.
  var outputs: Range<Int> { tokens.lowerBound / Tiling.base * Tiling.base..<last + Tiling.base }

  /// Those of the last block.
  var pending: Range<Int> { last..<last + Tiling.base }

  /// The inputs that are put in their places: those from the block before on that the window alone holds, and the run's own up to
  /// its last block.
  var inputs: Range<Int> {
    let start = tokens.lowerBound
    return (start % Tiling.base == 0 ? max(0, start - Tiling.base) : start / Tiling.base * Tiling.base)..<last
  }

  /// How many of them the window holds: its last ones.
  var inputsOfWindow: Int { min(tokens.lowerBound, last) - inputs.lowerBound }

  /// The tiles, such that of those that give to one output the largest come first.
  func rows(_ tiling: Tiling) -> [TileRow] {
    var rows: [TileRow] = []
    func visit(_ index: Int, _ start: Int) {
      guard index >= 0 else { return }
      let level = tiling.levels[index]
      let first = max(1, (boundaries.lowerBound - start + level.size - 1) / level.size)
      let last = min(level.blocks - 1, (self.last - start) / level.size)
      if first <= last { rows.append(TileRow(level: index, start: start, first: first, count: last - first + 1)) }
      for block in 0..<level.blocks {
        let child = start + block * level.size
        if child + level.size > boundaries.lowerBound, child < boundaries.upperBound { visit(index - 1, child) }
      }
    }
    visit(tiling.levels.count - 2, 0)
    return rows
  }
}
