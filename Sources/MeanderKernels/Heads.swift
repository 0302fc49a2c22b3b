import CMeanderKernels

// What heads have one number for.
extension Kernels {
  /// y[t, h] = (adding ? y[t, h] : 0) + Σ_p a[t, h, p]·b[t, h, p]; b: of the shape of a, or one row for all. y: T × H.
  package func headDot(_ a: Matrix, _ b: Matrix?, into y: Matrix, adding: Bool = false) {
    precondition(
      y.rows == a.rows && y.columns > 0 && a.columns % y.columns == 0
        && (b.map { $0.columns == a.columns && ($0.rows == 1 || $0.rows == a.rows) } ?? true), "shapes differ")
    run(functions.heads_dot, a, b, into: y, heads: y.columns, adding: adding)
  }

  /// y[t, h, p] = (adding ? y[t, h, p] : 0) + a[t, h, p]·factors[t, h]; factors: T × H. In place allowed.
  package func headScale(_ a: Matrix, by factors: Matrix, into y: Matrix, adding: Bool = false) {
    precondition(
      y.rows == a.rows && y.columns == a.columns && factors.rows == a.rows && factors.columns > 0
        && a.columns % factors.columns == 0, "shapes differ")
    run(functions.heads_scale, a, factors, into: y, heads: factors.columns, adding: adding)
  }

  private func run(
    _ function: @convention(c) (UnsafePointer<meander_heads>, Int, Int) -> Void, _ a: Matrix, _ b: Matrix?,
    into y: Matrix, heads: Int, adding: Bool
  ) {
    // Safe: the shapes were checked by the callers; parts write disjoint rows of y.
    let job = meander_heads(
      a: a.base, a_stride: a.stride, b: b.map { UnsafePointer($0.base) },
      b_stride: b.map { $0.rows == 1 && a.rows != 1 ? 0 : $0.stride } ?? 0, y: y.base, y_stride: y.stride, heads: heads,
      width: a.columns / heads, adding: adding)
    withUnsafePointer(to: job) { job in
      team.split(a.rows, workers: sharing(operations: a.rows * a.columns)) { function(job, $0.lowerBound, $0.upperBound) }
    }
  }
}
