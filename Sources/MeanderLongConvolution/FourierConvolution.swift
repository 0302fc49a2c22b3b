import MeanderErrors
import MeanderKernels

/// Causal convolution of one channel by Fourier transform, all at once.
package enum FourierConvolution {
  /// y[t] = Σ_{s ≤ t} filter[s] · signal[t - s], as long as the signal. O(n log n).
  ///
  /// Throws `.limit` for lengths that FFTW's 32-bit sizes cannot hold.
  package static func causal(_ signal: [Float], _ filter: [Float]) throws -> [Float] {
    guard !signal.isEmpty, !filter.isEmpty else { return [Float](repeating: 0, count: signal.count) }
    let needed = signal.count + filter.count - 1
    guard needed <= FourierPlan.largest else {
      throw MeanderError(
        .limit, "a transform of more than \(FourierPlan.largest) places is too long", remedy: "Convolve in tiles.")
    }
    var size = 2
    while size < needed { size *= 2 }
    let plan = try FourierPlan.of(size)
    let (first, second) = (FourierRoom(size), FourierRoom(size))
    for (values, room) in [(signal, first), (filter, second)] {
      room.signal.columns(0..<values.count).copy(from: Matrix(values, rows: 1, columns: values.count))
      plan.transform(room.signal, into: room.spectrum)
    }
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    kernels.multiplySpectra(first.spectrum, second.spectrum, into: first.product)
    plan.inverse(first.product, into: first.signal)
    return first.signal.columns(0..<signal.count).array().map { $0 / Float(size) }
  }
}
