/// A bump allocator over one storage: what a step needs in passing, without allocating.
///
/// One owner at a time. A matrix from it is valid until the arena is released to a mark before it; in debug builds
/// fresh matrices are filled with NaN, so that reading what was never written shows.
package final class Arena {
  /// All of it: what a tape's gradients are the twin of.
  package let storage: Storage
  private var used = 0

  /// An arena of `byteCount` bytes.
  package init(byteCount: Int) { storage = Storage(byteCount: byteCount) }

  /// An arena over memory that was used before.
  init(_ storage: Storage) { self.storage = storage }

  /// An arena whose bytes take up memory only once they were used.
  package init(reserving byteCount: Int) { storage = Storage(reserving: byteCount) }

  package var byteCount: Int { storage.byteCount }

  /// The bytes that a matrix of this shape takes.
  package static func byteCount(rows: Int, columns: Int) -> Int { (rows * columns * 4 + 63) & ~63 }

  /// Forgets everything.
  package func reset() { used = 0 }

  /// Where the arena stands, for `release(to:)`.
  package func mark() -> Int { used }

  /// Forgets everything that was allocated since `mark`.
  package func release(to mark: Int) {
    precondition(mark >= 0 && mark <= used, "the arena was released past its mark")
    used = mark
  }

  /// An uninitialized run of doubles.
  package func doubles(_ count: Int) -> Doubles {
    let matrix = matrix(rows: 1, columns: 2 * count)
    return Doubles(storage, offset: used - Arena.byteCount(rows: 1, columns: 2 * count), count: matrix.columns / 2)
  }

  /// A matrix of zeros.
  package func zeros(rows: Int, columns: Int) -> Matrix {
    let matrix = matrix(rows: rows, columns: columns)
    matrix.fill(0)
    return matrix
  }

  /// An uninitialized matrix that starts on a 64-byte boundary.
  package func matrix(rows: Int, columns: Int) -> Matrix {
    let size = Arena.byteCount(rows: rows, columns: columns)
    precondition(size <= storage.byteCount - used, "the arena of \(storage.byteCount) bytes is too small")
    let matrix = Matrix(storage, offset: used, rows: rows, columns: columns)
    used += size
    #if DEBUG
      matrix.fill(.nan)
    #endif
    return matrix
  }
}
