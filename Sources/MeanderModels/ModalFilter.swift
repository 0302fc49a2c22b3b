import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A long filter as a sum of modes, each a number that turns and decays (Massaroli and others 2023, Laughing Hyena):
///
///     h[0] = d + Σ_n Re r_n,   h[t] = Σ_n Re(r_n λ_n^t)
///     s_n ← λ_n s_n + x,   y = d x + Σ_n Re(r_n s_n)
///
/// What it keeps of the past is 2·S numbers a channel, whatever the filter's length was. It streams, and does not train.
package final class ModalFilter: LongFilter {
  package let channels: Int
  /// S
  package let modes: Int
  /// Per stage, 2·S × C: the real parts of a mode in one row, the imaginary ones in the next; and d, 1 × C.
  private let stages: [(poles: Matrix, residues: Matrix, direct: Matrix)]

  /// Reads the filter whose tensors are called `prefix`poles, `prefix`residues and `prefix`direct.
  package init(channels: Int, stages: Int, modes: Int, prefix: String, from reader: WeightReader) throws {
    (self.channels, self.modes) = (channels, modes)
    let (rows, columns) = (2 * modes, stages * channels)
    let poles = try reader.matrix(prefix + "poles", rows: rows, columns: columns)
    let residues = try reader.matrix(prefix + "residues", rows: rows, columns: columns)
    let direct = try reader.row(prefix + "direct", count: columns)
    self.stages = (0..<stages).map { stage in
      func own(_ all: Matrix) -> Matrix {
        Matrix(all.columns(stage * channels..<(stage + 1) * channels).array(), rows: all.rows, columns: channels)
      }
      return (own(poles), own(residues), own(direct))
    }
  }

  package func declareState(in layout: inout StateLayout, layer: String, stage: Int) -> [StateRegion] {
    [layout.append("\(layer).long\(stage)_modes", .f32, [2 * modes, channels], role: .recurrence)]
  }

  package func prepared(for count: Int, at position: Int64, _ operations: Operations) -> Matrix? {
    operations.tape?.block("a distilled filter")
    return nil
  }

  package func convolve(
    _ x: Matrix, stage: Int, prepared: Matrix?, state: MixerState, first: Int, position: Int64, _ operations: Operations
  ) -> Matrix {
    let own = stages[stage]
    let y = operations.arena.matrix(rows: x.rows, columns: channels)
    if operations.form == .naive {
      naiveScan(x, own, state: state.matrix(first), into: y)
    } else {
      operations.kernels.modalScan(x, poles: own.poles, residues: own.residues, state: state.matrix(first), into: y)
    }
    return operations.addProduct(y, x, own.direct)
  }

  private func naiveScan(
    _ x: Matrix, _ own: (poles: Matrix, residues: Matrix, direct: Matrix), state: Matrix, into y: Matrix
  ) {
    for channel in 0..<channels {
      var sums = [Double](repeating: 0, count: x.rows)
      for mode in 0..<modes {
        let (real, imaginary) = (2 * mode, 2 * mode + 1)
        let (a, b) = (Double(own.poles[real, channel]), Double(own.poles[imaginary, channel]))
        var (s, t) = (Double(state[real, channel]), Double(state[imaginary, channel]))
        for token in 0..<x.rows {
          (s, t) = (a * s - b * t + Double(x[token, channel]), a * t + b * s)
          sums[token] += Double(own.residues[real, channel]) * s - Double(own.residues[imaginary, channel]) * t
        }
        (state[real, channel], state[imaginary, channel]) = (Float(s), Float(t))
      }
      for token in 0..<x.rows { y[token, channel] = Float(sums[token]) }
    }
  }

  package var reach: Int? { nil }
  package var derivedByteCount: Int { 0 }
  package var scratchPerToken: Int { 2 * (channels + 16) }
}
