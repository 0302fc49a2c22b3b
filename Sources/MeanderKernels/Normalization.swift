import CMeanderKernels

extension Kernels {
  /// y = x / sqrt(mean(x²) + epsilon) · weight, the mean over each of `groups` equal runs of columns (Zhang and
  /// Sennrich 2019). In place allowed. The sum of squares is 16 partial sums joined by a fixed tree.
  package func rootMeanSquareNorm(_ x: Matrix, weight: Matrix?, epsilon: Float, groups: Int = 1, into y: Matrix) {
    norm(x, gate: nil, weight: weight, epsilon: epsilon, groups: groups, into: y)
  }

  /// The norm of x · silu(gate), group by group (the gated norm of Mamba-2). In place allowed.
  package func gatedRootMeanSquareNorm(
    _ x: Matrix, gate z: Matrix, weight: Matrix?, epsilon: Float, groups: Int = 1, into y: Matrix
  ) {
    precondition(z.rows == x.rows && z.columns == x.columns, "shapes differ")
    norm(x, gate: z, weight: weight, epsilon: epsilon, groups: groups, into: y)
  }

  /// y = (x - mean) / sqrt(variance + epsilon) · weight + bias, over each of `groups` equal runs of columns (Ba and others
  /// 2016; group norm, Wu and He 2018). In place allowed. Sums are 16 partial sums joined by a fixed tree.
  package func layerNorm(_ x: Matrix, weight: Matrix, bias: Matrix?, epsilon: Float, groups: Int = 1, into y: Matrix) {
    precondition(
      x.rows == y.rows && x.columns == y.columns && groups > 0 && x.columns % groups == 0 && weight.rows == 1
        && weight.columns == x.columns && (bias.map { $0.rows == 1 && $0.columns == x.columns } ?? true), "shapes differ")
    guard x.columns > 0 else { return }
    // Safe: the shapes were checked above; parts write disjoint rows of y.
    let job = meander_layer_norm(
      x: x.base, x_stride: x.stride, weight: weight.base, bias: bias.map { UnsafePointer($0.base) }, y: y.base,
      y_stride: y.stride, columns: x.columns, groups: groups, epsilon: epsilon)
    let function = functions.layer_norm
    withUnsafePointer(to: job) { job in
      team.split(x.rows, workers: sharing(operations: x.rows * x.columns * 6)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }

  private func norm(_ x: Matrix, gate: Matrix?, weight: Matrix?, epsilon: Float, groups: Int, into y: Matrix) {
    precondition(
      x.rows == y.rows && x.columns == y.columns && groups > 0 && x.columns % groups == 0
        && (weight.map { $0.rows == 1 && $0.columns == x.columns } ?? true), "shapes differ")
    guard x.columns > 0 else { return }
    // Safe: the shapes were checked above; parts write disjoint rows of y.
    let job = meander_norm(
      x: x.base, x_stride: x.stride, gate: gate.map { UnsafePointer($0.base) }, gate_stride: gate?.stride ?? 0,
      weight: weight.map { UnsafePointer($0.base) }, y: y.base, y_stride: y.stride, columns: x.columns, groups: groups,
      epsilon: epsilon)
    let function = functions.norm
    withUnsafePointer(to: job) { job in
      team.split(x.rows, workers: sharing(operations: x.rows * x.columns * (gate == nil ? 4 : 20))) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
