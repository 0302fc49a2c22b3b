import CFFTW
import Glibc
import MeanderErrors
import MeanderKernels
import Synchronization

/// Transforms of 2s real places, in single precision, under which products are negacyclic: what wraps around comes back with its
/// sign turned. Everything that calls FFTW stands in this file.
///
/// Real numbers at the places t and s + t are the two parts of one number, times exp(iπt / 2s); then a complex transform of s such
/// numbers. So a spectrum is s numbers without any symmetry, and where one half of the places is zeros, as it is in tiles, or one
/// half is asked for, it costs nothing to leave it out.
///
/// Plans are estimated, never measured: a measured plan changes the bits from run to run. One is made for each size, one at a time,
/// since FFTW's planner keeps tables of its own, and lives as long as the program; any number of threads may execute it at once, each
/// on its own numbers.
package struct FourierPlan: @unchecked Sendable {
  // Safe as Sendable: a plan is never changed, and FFTW's new-array execution is free of shared state.

  /// s, half of the places; a power of two.
  package let size: Int
  /// exp(iπt / 2s), 1 × 2s.
  private let turns: Matrix
  private let forward: fftwf_plan
  private let inverse: fftwf_plan
  /// Large transforms are faster in place: so much less goes through the caches.
  private let isInPlace: Bool

  /// Half of the places of the smallest and the largest plan: whole vectors, and what FFTW's 32-bit counts hold.
  package static let sizes = 16...1 << 29
  /// From this size on transforms are in place.
  private static let smallestInPlace = 1 << 17

  private static let plans = Mutex<[Int: FourierPlan]>([:])

  /// The plan of 2s places. Throws `.limit` for one that is too large.
  package static func of(_ size: Int) throws -> FourierPlan {
    guard sizes.contains(size), size.nonzeroBitCount == 1 else {
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
    isInPlace = size >= Self.smallestInPlace
    // An estimate looks at where numbers stand, and touches none of them.
    let places = (0..<2).map { _ in Self.complex(Matrix(Storage(reserving: 8 * size), offset: 0, rows: 1, columns: 2 * size)) }
    let (from, to) = (places[0], isInPlace ? places[0] : places[1])
    guard let forward = fftwf_plan_dft_1d(Int32(size), from, to, FFTW_FORWARD, UInt32(FFTW_ESTIMATE)),
      let inverse = fftwf_plan_dft_1d(Int32(size), from, to, FFTW_BACKWARD, UInt32(FFTW_ESTIMATE))
    else { throw MeanderError(.limit, "FFTW has no plan for \(size) places") }
    (self.size, self.forward, self.inverse) = (size, forward, inverse)
    turns = Matrix(rows: 1, columns: 2 * size)
    for t in 0..<size {
      let angle = Double.pi * Double(t) / Double(2 * size)
      (turns[0, 2 * t], turns[0, 2 * t + 1]) = (Float(cos(angle)), Float(sin(angle)))
    }
  }

  /// The spectrum, 1 × 2s, of what stands at the first s places and at the last s; what is left out is zeros. `room`: as large.
  ///
  /// Spectrum and room begin on multiples of 64 bytes.
  package func transform(early: Matrix? = nil, late: Matrix? = nil, into spectrum: Matrix, room: Matrix, _ table: KernelTable) {
    let from = isInPlace ? spectrum : room
    check(from, spectrum)
    table.turn(early: early, late: late, by: turns, into: from)
    fftwf_execute_dft(forward, Self.complex(from), Self.complex(spectrum))
  }

  /// What `take` takes of s times the places of a spectrum, which is overwritten.
  package func inverse(_ spectrum: Matrix, room: Matrix) -> TurnedPlaces {
    let to = isInPlace ? spectrum : room
    check(spectrum, to)
    fftwf_execute_dft(inverse, Self.complex(spectrum), Self.complex(to))
    return TurnedPlaces(numbers: to, turns: turns)
  }

  /// Safe to execute: both rows are as long as the plan is made for, and lie as the rows that it was made on.
  private func check(_ from: Matrix, _ to: Matrix) {
    precondition(
      [from, to].allSatisfy { $0.rows == 1 && $0.columns == 2 * size && $0.byteOffset % 64 == 0 }
        && isInPlace == (from.address == to.address), "a transform of mismatched rows")
  }

  /// Safe: a spectrum's floats are pairs, which is what FFTW's complex numbers are.
  private static func complex(_ row: Matrix) -> UnsafeMutablePointer<fftwf_complex> {
    UnsafeMutableRawPointer(row.address).assumingMemoryBound(to: fftwf_complex.self)
  }
}

/// The places of a signal as a transform left them.
package struct TurnedPlaces {
  fileprivate let numbers, turns: Matrix

  /// Some of the first s places, or of the last s where `isLate`, counted from the first of them; whole blocks of 16.
  package func take(_ places: Range<Int>, isLate: Bool, adding: Bool, into y: Matrix, _ table: KernelTable) {
    let pairs = 2 * places.lowerBound..<2 * places.upperBound
    table.turnBack(numbers.columns(pairs), by: turns.columns(pairs), isLate: isLate, adding: adding, into: y)
  }
}
