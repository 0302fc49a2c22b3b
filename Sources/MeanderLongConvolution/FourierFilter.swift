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
    let columns = tiling.levels.reduce(tiling.length + Tiling.base) { $0 + 2 * $1.size * $1.pieces }
    return 4 * stages * channels * columns
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
    case .implicit(let filter): lags = filter.rows(min(max(wanted, 2 * Tiling.base), tiling.length), kernels)
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
  /// C × pieces·2s, of which nothing takes up memory before it is made.
  private let rows: Matrix
  /// How many pieces are there.
  fileprivate(set) var made = 0

  init(_ level: Tiling.Level, channels: Int) {
    (size, pieces) = (level.size, level.pieces)
    let columns = 2 * level.size * level.pieces
    rows = Matrix(Storage(reserving: 4 * channels * columns), offset: 0, rows: channels, columns: columns)
  }

  /// A row for each piece of a channel's filter.
  func of(_ channel: Int) -> Matrix { rows.rows(channel..<channel + 1).reshaped(columns: 2 * size) }

  /// Makes some pieces from the taps, n × C. Direct lags and those beyond the filter's end are zeros.
  fileprivate func make(
    _ wanted: ClosedRange<Int>, channels: Range<Int>, of lags: Matrix, _ plan: FourierPlan, _ kernels: Kernels
  ) {
    // As many channels at a time as numbers are fetched at once.
    let group = min(16, channels.count)
    let (places, scaled) = (Matrix(rows: group, columns: 2 * size), Matrix(rows: 1, columns: 2 * size))
    let room = Matrix(rows: 1, columns: 2 * size)
    for first in stride(from: channels.lowerBound, to: channels.upperBound, by: group) {
      let own = first..<min(channels.upperBound, first + group)
      for piece in wanted {
        let start = (piece - 1) * size
        let known = max(start, Tiling.base)..<max(start, Tiling.base, min(lags.rows, start + 2 * size))
        let columns = known.lowerBound - start..<known.upperBound - start
        places.fill(0)
        if !columns.isEmpty {
          places.rows(0..<own.count).columns(columns).copyTransposed(from: lags.rows(known).columns(own))
        }
        for (index, channel) in own.enumerated() {
          scaled.fill(0)
          kernels.add(places.rows(index..<index + 1), scale: 1 / Float(size), to: scaled)
          plan.transform(
            early: scaled.columns(0..<size), late: scaled.columns(size..<2 * size),
            into: of(channel).rows(piece - 1..<piece), room: room, kernels.table)
        }
      }
    }
  }
}
