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
    var half = FourierPlan.sizes.lowerBound
    while 2 * half < needed, half <= FourierPlan.sizes.upperBound { half *= 2 }
    guard half <= FourierPlan.sizes.upperBound else {
      throw MeanderError(
        .limit, "a transform of more than \(2 * FourierPlan.sizes.upperBound) places is too long", remedy: "Convolve in tiles.")
    }
    let (plan, table) = (try FourierPlan.of(half), KernelTable.best)
    // A signal, two spectra, their product and room for a transform.
    let rows = Matrix(rows: 5, columns: 2 * half)
    func row(_ index: Int) -> Matrix { rows.rows(index..<index + 1) }
    let (places, room) = (row(0), row(4))
    let (early, late) = (places.columns(0..<half), places.columns(half..<2 * half))
    for (index, values) in [signal, filter].enumerated() {
      places.fill(0)
      places.columns(0..<values.count).copy(from: Matrix(values, rows: 1, columns: values.count))
      plan.transform(early: early, late: late, into: row(index + 1), room: room, table)
    }
    table.multiplySpectra(row(1), row(2), into: row(3))
    let product = plan.inverse(row(3), room: room)
    product.take(0..<half, isLate: false, adding: false, into: early, table)
    product.take(0..<half, isLate: true, adding: false, into: late, table)
    return places.columns(0..<signal.count).array().map { $0 / Float(half) }
  }
}
