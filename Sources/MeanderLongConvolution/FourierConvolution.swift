import CFFTW
import MeanderErrors
import Synchronization

/// Causal convolution by Fourier transform, with FFTW in single precision.
package enum FourierConvolution {
  /// y[t] = Σ_{s ≤ t} filter[s] · signal[t - s], as long as the signal. O(n log n).
  ///
  /// Plans are estimated, never measured: a measured plan changes the bits from run to run. Throws `.limit` for lengths
  /// that FFTW's 32-bit sizes cannot hold.
  package static func causal(_ signal: [Float], _ filter: [Float]) throws -> [Float] {
    guard !signal.isEmpty, !filter.isEmpty else { return [Float](repeating: 0, count: signal.count) }
    var size = 2
    while size < signal.count + filter.count - 1, size < 1 << 30 { size *= 2 }
    guard size >= signal.count + filter.count - 1 else {
      throw MeanderError(.limit, "a transform of more than \(size) points is too long", remedy: "Convolve in tiles.")
    }
    let padding = { (values: [Float]) in values + [Float](repeating: 0, count: size - values.count) }
    let first = try transform(padding(signal), FFTW_R2HC)
    let second = try transform(padding(filter), FFTW_R2HC)
    let result = try transform(product(first, second), FFTW_HC2R)
    return result.prefix(signal.count).map { $0 / Float(size) }
  }

  /// The product of two spectra in FFTW's half-complex order: r0 r1 … r(n/2) i(n/2 - 1) … i1.
  private static func product(_ a: [Float], _ b: [Float]) -> [Float] {
    let size = a.count
    var result = a
    result[0] = a[0] * b[0]
    result[size / 2] = a[size / 2] * b[size / 2]
    for k in 1..<max(1, size / 2) {
      result[k] = a[k] * b[k] - a[size - k] * b[size - k]
      result[size - k] = a[k] * b[size - k] + a[size - k] * b[k]
    }
    return result
  }

  /// FFTW's planner keeps tables of its own: one caller at a time may plan, or give a plan back.
  private static let planner = Mutex(())

  private static func transform(_ values: [Float], _ kind: fftwf_r2r_kind) throws -> [Float] {
    try planner.withLock { _ in
      var input = values
      var output = [Float](repeating: 0, count: values.count)
      let flags = UInt32(FFTW_ESTIMATE) | UInt32(FFTW_UNALIGNED)
      guard let plan = fftwf_plan_r2r_1d(Int32(values.count), &input, &output, kind, flags) else {
        throw MeanderError(.limit, "FFTW has no plan for \(values.count) points")
      }
      fftwf_execute_r2r(plan, &input, &output)
      fftwf_destroy_plan(plan)
      return output
    }
  }
}
