import CMeanderKernels

extension Kernels {
  /// y = a·b, or a·conj(b), number by number, each a real and an imaginary part; added to y where asked. One row each, y neither
  /// a nor b. Complexity: O(columns).
  package func multiplySpectra(_ a: Matrix, _ b: Matrix, conjugating: Bool = false, adding: Bool = false, into y: Matrix) {
    let count = y.columns
    precondition(
      [a, b, y].allSatisfy { $0.rows == 1 && $0.columns == count } && count.isMultiple(of: 2)
        && y.base != a.base && y.base != b.base, "spectra of mismatched shapes")
    // Safe: each row holds count / 2 pairs.
    var job = meander_spectra(a: a.base, b: b.base, y: y.base, conjugates: conjugating, adding: adding)
    functions.spectra(&job, 0, count / 2)
  }

  /// A filter that is a sum of modes, over T tokens: s[n] = λ[n]·s[n] + x, y = Σ_n Re(r[n]·s[n]) for each of C channels by itself.
  ///
  /// poles (λ), residues (r), state (s): 2·N × C, the real parts of a mode in one row and the imaginary ones in the next; x, y: T × C;
  /// y may not alias x. The state moves on by all T. Complexity: O(T · N · C).
  package func modalScan(_ x: Matrix, poles: Matrix, residues: Matrix, state: Matrix, into y: Matrix) {
    let channels = x.columns
    precondition(
      y.rows == x.rows && y.columns == channels && poles.rows.isMultiple(of: 2)
        && [poles, residues, state].allSatisfy { $0.rows == poles.rows && $0.columns == channels && $0.stride == poles.stride },
      "modes of mismatched shapes")
    // Safe: the shapes were checked above; parts touch disjoint channels of y and state.
    let job = meander_modal_scan(
      x: x.base, x_stride: x.stride, poles: poles.base, residues: residues.base, state: state.base, stride: poles.stride,
      y: y.base, y_stride: y.stride, tokens: x.rows, modes: poles.rows / 2)
    let function = functions.modal_scan
    withUnsafePointer(to: job) { job in
      team.split(channels, grain: 16, workers: sharing(operations: x.rows * channels * poles.rows * 4)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}

extension Matrix {
  /// Copies the transpose of `other`, which may not overlap.
  package func copyTransposed(from other: Matrix) {
    precondition(rows == other.columns && columns == other.rows, "shapes differ")
    // In blocks, so that no line of either is fetched again for every number. Safe: both indices stay inside their views.
    let block = 16
    for top in Swift.stride(from: 0, to: rows, by: block) {
      for left in Swift.stride(from: 0, to: columns, by: block) {
        for row in top..<min(rows, top + block) {
          let to = base + row * stride
          for column in left..<min(columns, left + block) { to[column] = other.base[column * other.stride + row] }
        }
      }
    }
  }

  /// Where the first number lies, for a library that computes in place. Valid as long as the storage lives.
  package var address: UnsafeMutablePointer<Float> { base }
}
