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
  let plans: [Int: FourierPlan]
  private let made = Mutex(Made())

  /// What was made of the taps so far.
  private struct Made {
    /// The first lags, n × stages·C.
    var taps: Matrix?
    /// Per stage, B × C, the latest lag first.
    var direct: [Int: Matrix] = [:]
    /// Per stage and size, C rows of a spectrum, divided by its size.
    var spectra: [[Int]: Matrix] = [:]
  }

  /// - Parameters:
  ///   - channels: C of each stage.
  ///   - length: K.
  /// - Throws: `.limit` for a filter longer than transforms can be.
  package init(channels: Int, stages: Int, length: Int, _ taps: FilterTaps) throws {
    (self.channels, self.stages, self.taps) = (channels, stages, taps)
    tiling = Tiling(length: length)
    plans = Dictionary(uniqueKeysWithValues: try tiling.sizes.map { ($0, try FourierPlan.of(2 * $0)) })
  }

  package func declareState(in layout: inout StateLayout, layer: String, stage: Int) -> [StateRegion] {
    let name = "\(layer).long\(stage)"
    let window = layout.append(name + "_window", .f32, [Tiling.base, channels])
    guard tiling.hasTiles else { return [window] }
    return [
      window, layout.append(name + "_pending", .f32, [Tiling.base, channels]),
      layout.append(name + "_history", .f32, [channels, tiling.period]),
    ]
  }

  package var reach: Int? { tiling.length }

  package var derivedByteCount: Int {
    let columns = tiling.sizes.reduce(tiling.length + Tiling.base) { $0 + Self.stride(2 * $1) }
    return 4 * stages * channels * columns
  }

  package var scratchPerToken: Int { channels + 16 }

  /// Floats from the spectrum of one channel to that of the next.
  private static func stride(_ size: Int) -> Int { (FourierPlan.spectrumWidth(size) + 15) / 16 * 16 }

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

  /// The spectra of the lags from B to 2U - 1, a row for each channel of a stage.
  func spectra(_ stage: Int, tile size: Int, _ kernels: Kernels) -> Matrix {
    made.withLock { made in
      if let spectra = made.spectra[[stage, size]] { return spectra }
      let count = min(2 * size, tiling.length)
      let lags = Self.lags(count, &made, tiling, taps, kernels)
      let spectra = Matrix(rows: channels, columns: Self.stride(2 * size))
      guard let plan = plans[size] else { preconditionFailure("no tile of \(size)") }
      let room = FourierRoom(2 * size)
      for channel in 0..<channels {
        room.signal.fill(0)
        let column = stage * channels + channel
        for lag in Tiling.base..<max(Tiling.base, count) { room.signal[0, lag] = lags[lag, column] / Float(2 * size) }
        let row = spectra.rows(channel..<channel + 1).columns(0..<FourierPlan.spectrumWidth(2 * size))
        plan.transform(room.signal, into: row)
      }
      made.spectra[[stage, size]] = spectra
      return spectra
    }
  }
}
