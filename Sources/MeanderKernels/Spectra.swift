import CMeanderKernels

extension Kernels {
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

extension KernelTable {
  /// y = a·b, or a·conj(b), number by number, each a real and an imaginary part; added to y where asked. One row each, y neither
  /// a nor b. Complexity: O(columns).
  package func multiplySpectra(_ a: Matrix, _ b: Matrix, conjugating: Bool = false, adding: Bool = false, into y: Matrix) {
    let count = y.columns
    precondition(
      [a, b, y].allSatisfy { $0.rows == 1 && $0.columns == count } && count.isMultiple(of: 2)
        && y.base != a.base && y.base != b.base, "spectra of mismatched shapes")
    // Safe: each row holds count / 2 pairs.
    var job = meander_spectra(a: a.base, b: b.base, y: y.base, conjugates: conjugating, adding: adding)
    functions.pointee.spectra(&job, 0, count / 2)
  }

  /// Convolutions of rows of spectra, each row numbers of a real and an imaginary part: y[b - first] = Σ_{i < b} x[i]·h[b - i], for
  /// as many b from `first` on as y has rows, where h[1] is the first row of h. The sum goes over i in its order, however many rows
  /// are asked for. A multiple of 16 columns. Complexity: O(columns · Σ b).
  package func sumSpectra(_ x: Matrix, by h: Matrix, first: Int, into y: Matrix) {
    let last = first + y.rows - 1
    precondition(
      first >= 1 && x.rows >= last && h.rows >= last && [x, h].allSatisfy { $0.columns == y.columns }
        && y.columns.isMultiple(of: 16), "sums of mismatched spectra")
    // Safe: the last output reads rows below `last` of both.
    var job = meander_spectrum_sums(
      x: x.base, x_stride: x.stride, h: h.base, h_stride: h.stride, y: y.base, y_stride: y.stride, first: first, outputs: y.rows,
      columns: y.columns)
    functions.pointee.spectrum_sums(&job)
  }

  /// turned[t] = (early[t] + i·late[t])·turns[t], numbers of two parts; what is left out is 0. Rows, a multiple of 16 numbers.
  package func turn(early: Matrix?, late: Matrix?, by turns: Matrix, into turned: Matrix) {
    let count = turned.columns / 2
    precondition(
      turned.columns == turns.columns && count.isMultiple(of: 16)
        && [early, late].allSatisfy { ($0?.columns ?? count) == count && ($0?.rows ?? 1) == 1 }, "turned rows of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_turn(
      early: early.map { UnsafePointer($0.base) }, late: late.map { UnsafePointer($0.base) }, turns: turns.base, turned: turned.base,
      count: count)
    functions.pointee.turn(&job)
  }

  /// The way back: y[t] is the real part of turned[t]·conj(turns[t]), or the imaginary one where `isLate`.
  package func turnBack(_ turned: Matrix, by turns: Matrix, isLate: Bool, adding: Bool, into y: Matrix) {
    precondition(
      turned.columns == turns.columns && 2 * y.columns == turned.columns && y.columns.isMultiple(of: 16) && y.rows == 1,
      "turned rows of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_turn_back(
      turned: turned.base, turns: turns.base, y: y.base, count: y.columns, is_late: isLate, adding: adding)
    functions.pointee.turn_back(&job)
  }
}

extension Matrix {
  /// Copies the transpose of `other`, which may not overlap.
  package func copyTransposed(from other: Matrix) { takeTransposed(other, adding: false) }

  /// Adds the transpose of `other`, which may not overlap.
  package func addTransposed(_ other: Matrix) { takeTransposed(other, adding: true) }

  private func takeTransposed(_ other: Matrix, adding: Bool) {
    precondition(rows == other.columns && columns == other.rows, "shapes differ")
    // Safe: the shapes agree.
    meander_transpose(other.base, other.stride, other.rows, other.columns, base, stride, adding)
  }

  /// Where the first number lies, for a library that computes in place. Valid as long as the storage lives.
  package var address: UnsafeMutablePointer<Float> { base }
}
