import MeanderFiles
import MeanderKernels
import MeanderModels
import Synchronization

/// Where a filter's taps come from.
package enum FilterTaps: Sendable {
  /// K × C parameters.
  case explicit(Matrix)
  /// Made of a lag's place by a small network.
  case implicit(ImplicitFilter)
}

/// An exact long convolution: the history is kept, and products with it go through transforms.
package final class FourierFilter: LongFilter {
  package let channels: Int
  package let stages: Int
  package let tiling: Tiling
  package let taps: FilterTaps
  /// One for each level.
  let plans: [FourierPlan]
  private let made = Mutex(Made())

  /// What was made of the taps so far.
  private struct Made {
    /// The first lags, n × stages·C.
    var taps: Matrix?
    /// Per stage, B × C, the latest lag first.
    var direct: [Int: Matrix] = [:]
    /// Per stage and level.
    var spectra: [[Int]: FilterSpectra] = [:]
  }

  /// - Parameters:
  ///   - channels: C of each stage.
  ///   - length: K.
  /// - Throws: `.limit` for a filter longer than transforms can be.
  package init(channels: Int, stages: Int, length: Int, _ taps: FilterTaps) throws {
    (self.channels, self.stages, self.taps) = (channels, stages, taps)
    tiling = Tiling(length: length)
    plans = try tiling.levels.map { try FourierPlan.of($0.size) }
  }

  package func declareState(in layout: inout StateLayout, layer: String, stage: Int) -> [StateRegion] {
    let name = "\(layer).long\(stage)"
    let window = layout.append(name + "_window", .f32, [Tiling.base, channels])
    guard tiling.hasTiles else { return [window] }
    return [
      window, layout.append(name + "_pending", .f32, [Tiling.base, channels]),
      layout.append(name + "_period", .f32, [channels, tiling.period]),
    ]
  }

  package var reach: Int? { tiling.length }

  package var derivedByteCount: Int {
    let spectra = tiling.levels.reduce(0) { $0 + FilterSpectra.floats($1, channels: channels) }
    return 4 * stages * (spectra + channels * (tiling.length + Tiling.base))
  }

  package var scratchPerToken: Int { channels + 16 }

  /// The first lags of all stages, at least `count` of them where there are as many.
  package func lags(_ count: Int, _ kernels: Kernels) -> Matrix {
    made.withLock { Self.lags(count, &$0, tiling, taps, kernels) }
  }

  private static func lags(_ count: Int, _ made: inout Made, _ tiling: Tiling, _ taps: FilterTaps, _ kernels: Kernels) -> Matrix {
    let wanted = min(count, tiling.length)
    if let taps = made.taps, taps.rows >= wanted { return taps }
    let lags: Matrix
    switch taps {
    case .explicit(let taps): lags = taps
    case .implicit(let filter):
      // At least twice as many as there are, so that they are not copied again and again.
      let known = made.taps?.rows ?? 0
      lags = Matrix(rows: min(max(wanted, 2 * known, 2 * Tiling.base), tiling.length), columns: filter.columns)
      if let taps = made.taps { lags.rows(0..<known).copy(from: taps) }
      filter.write(known..<lags.rows, into: lags.rows(known..<lags.rows), kernels)
    }
    made.taps = lags
    return lags
  }

  /// The direct lags of a stage as the short convolution reads them, B × C.
  func direct(_ stage: Int, _ kernels: Kernels) -> Matrix {
    made.withLock { made in
      if let direct = made.direct[stage] { return direct }
      let lags = Self.lags(Tiling.base, &made, tiling, taps, kernels).columns(stage * channels..<(stage + 1) * channels)
      let direct = Matrix(rows: Tiling.base, columns: channels)
      for lag in 0..<min(Tiling.base, tiling.length) {
        direct.rows(Tiling.base - 1 - lag..<Tiling.base - lag).copy(from: lags.rows(lag..<lag + 1))
      }
      made.direct[stage] = direct
      return direct
    }
  }

  /// The spectra of a level's pieces, at least the first `count` of them.
  func spectra(_ stage: Int, level: Int, pieces count: Int, _ kernels: Kernels) -> FilterSpectra {
    made.withLock { made in
      var spectra = made.spectra[[stage, level]] ?? FilterSpectra(tiling.levels[level], channels: channels)
      guard spectra.made < count else { return spectra }
      let wanted = spectra.made + 1...count
      let known = min((count + 1) * spectra.size, tiling.length)
      let lags = Self.lags(known, &made, tiling, taps, kernels).columns(stage * channels..<(stage + 1) * channels)
      let (parts, fixed) = (min(kernels.team.threads, channels), spectra)
      kernels.team.run(parts) { part in
        let range = channels * part / parts..<channels * (part + 1) / parts
        fixed.make(wanted, channels: range, of: lags.rows(0..<min(known, lags.rows)), plans[level], kernels)
      }
      spectra.made = count
      made.spectra[[stage, level]] = spectra
      return spectra
    }
  }
}

/// The spectra of a level's pieces, divided by s.
struct FilterSpectra: Sendable {
  let size, pieces: Int
  /// pieces × C·2s, of which nothing takes up memory before it is made. Rows do not begin at places that caches take for one.
  private let rows: Matrix
  /// How many pieces are there.
  fileprivate(set) var made = 0

  init(_ level: Tiling.Level, channels: Int) {
    (size, pieces) = (level.size, level.pieces)
    let floats = Self.floats(level, channels: channels)
    let storage = Storage(reserving: 4 * floats, inLargePages: floats / pieces >= Self.largeRow)
    rows = Matrix(storage, offset: 0, rows: pieces, columns: floats / pieces)
  }

  /// How many numbers the spectra of a level are.
  static func floats(_ level: Tiling.Level, channels: Int) -> Int { level.pieces * (2 * level.size * channels + 16) }

  /// Rows of so many floats are made in large pages.
  private static let largeRow = 1 << 18

  /// A row for each piece of a channel's filter.
  func of(_ channel: Int) -> Matrix { rows.columns(2 * size * channel..<2 * size * (channel + 1)) }

  /// Makes some pieces from the taps, n × C. Direct lags and those beyond the filter's end are zeros.
  fileprivate func make(
    _ wanted: ClosedRange<Int>, channels: Range<Int>, of lags: Matrix, _ plan: FourierPlan, _ kernels: Kernels
  ) {
    // As many channels at a time as numbers are fetched at once, and the lags of two blocks: the last ones of a piece are the
    // first ones of the next. Rows do not begin at places that caches hold to be the same.
    let group = min(16, channels.count)
    let blocks = (0..<2).map { _ in Matrix(rows: group, columns: size + 16).columns(0..<size) }
    let room = Matrix(rows: 1, columns: 2 * size)
    for first in stride(from: channels.lowerBound, to: channels.upperBound, by: group) {
      let own = first..<min(channels.upperBound, first + group)
      for block in wanted.lowerBound - 1...wanted.upperBound {
        let (early, late) = (blocks[(block + 1) % 2], blocks[block % 2])
        fetch(block, of: lags.columns(own), into: late.rows(0..<own.count))
        guard block >= wanted.lowerBound else { continue }
        for (index, channel) in own.enumerated() {
          let row = index..<index + 1
          plan.transform(
            early: early.rows(row), late: late.rows(row), scale: 1 / Float(size),
            into: of(channel).rows(block - 1..<block), room: room, kernels.table)
        }
      }
    }
  }

  /// The lags of a block, a row for each channel.
  private func fetch(_ block: Int, of lags: Matrix, into places: Matrix) {
    let start = block * size
    let first = max(start, Tiling.base)
    let known = first..<max(first, min(lags.rows, start + size))
    if known.count < size { places.fill(0) }
    guard !known.isEmpty else { return }
    places.columns(known.lowerBound - start..<known.upperBound - start).copyTransposed(from: lags.rows(known))
  }
}
