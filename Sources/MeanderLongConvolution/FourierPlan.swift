import CFFTW
import MeanderErrors
import MeanderKernels
import Synchronization

/// The real transforms of one size, in single precision. Everything that calls FFTW stands in this file.
///
/// Plans are estimated, never measured: a measured plan changes the bits from run to run. One is made for each size, one at a time,
/// since FFTW's planner keeps tables of its own, and lives as long as the program; any number of threads may execute it at once, each
/// on its own numbers.
package struct FourierPlan: @unchecked Sendable {
  // Safe as Sendable: a plan is never changed, and FFTW's new-array execution is free of shared state.

  /// n, the number of real places; a power of two.
  package let size: Int
  private let forward: fftwf_plan
  private let inverse: fftwf_plan

  /// The largest size that FFTW's 32-bit counts hold.
  package static let largest = 1 << 30

  private static let plans = Mutex<[Int: FourierPlan]>([:])

  /// Floats of a spectrum of n places: n / 2 + 1 numbers of two parts.
  package static func spectrumWidth(_ size: Int) -> Int { size + 2 }

  /// The plan of a size. Throws `.limit` for one that is too large.
  package static func of(_ size: Int) throws -> FourierPlan {
    guard size >= 2, size.nonzeroBitCount == 1, size <= largest else {
      throw MeanderError(.limit, "a transform of \(size) places is not to be had", remedy: "Take a shorter filter.")
    }
    return try plans.withLock { plans in
      if let plan = plans[size] { return plan }
      let plan = try FourierPlan(planning: size)
      plans[size] = plan
      return plan
    }
  }

  private init(planning size: Int) throws {
    // An estimate looks at where numbers stand, and touches none of them.
    let signal = Storage(reserving: 4 * size)
    let spectrum = Storage(reserving: 4 * Self.spectrumWidth(size))
    let real = Matrix(signal, offset: 0, rows: 1, columns: size).address
    let complex = Self.complex(Matrix(spectrum, offset: 0, rows: 1, columns: Self.spectrumWidth(size)))
    guard let forward = fftwf_plan_dft_r2c_1d(Int32(size), real, complex, UInt32(FFTW_ESTIMATE)),
      let inverse = fftwf_plan_dft_c2r_1d(Int32(size), complex, real, UInt32(FFTW_ESTIMATE))
    else { throw MeanderError(.limit, "FFTW has no plan for \(size) places") }
    (self.size, self.forward, self.inverse) = (size, forward, inverse)
  }

  /// The spectrum of n places, n + 2 floats; both are rows that begin on a multiple of 64 bytes.
  package func transform(_ signal: Matrix, into spectrum: Matrix) {
    check(signal, spectrum)
    fftwf_execute_dft_r2c(forward, signal.address, Self.complex(spectrum))
  }

  /// n times the signal of a spectrum, which is overwritten.
  package func inverse(_ spectrum: Matrix, into signal: Matrix) {
    check(signal, spectrum)
    fftwf_execute_dft_c2r(inverse, Self.complex(spectrum), signal.address)
  }

  /// Safe to execute: both rows are as long as the plan is made for, and lie as the rows that it was made on.
  private func check(_ signal: Matrix, _ spectrum: Matrix) {
    precondition(
      signal.rows == 1 && spectrum.rows == 1 && signal.columns == size && spectrum.columns == Self.spectrumWidth(size)
        && signal.byteOffset % 64 == 0 && spectrum.byteOffset % 64 == 0, "a transform of mismatched rows")
  }

  /// Safe: a spectrum's floats are pairs, which is what FFTW's complex numbers are.
  private static func complex(_ row: Matrix) -> UnsafeMutablePointer<fftwf_complex> {
    UnsafeMutableRawPointer(row.address).assumingMemoryBound(to: fftwf_complex.self)
  }
}

/// Room for one transform and what is multiplied with it.
struct FourierRoom {
  /// n places, and twice n + 2 floats.
  let signal, spectrum, product: Matrix

  init(_ size: Int) {
    let width = FourierPlan.spectrumWidth(size)
    let stride = (width + 15) / 16 * 16
    let all = Matrix(rows: 1, columns: size + 2 * stride + 16)
    // From a multiple of 16 floats on, whatever the size.
    let start = (size + 15) / 16 * 16
    signal = all.columns(0..<size)
    spectrum = all.columns(start..<start + width)
    product = all.columns(start + stride..<start + stride + width)
  }
}
