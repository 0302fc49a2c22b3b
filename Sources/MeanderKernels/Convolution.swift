import CMeanderKernels

extension Kernels {
  /// The causal depthwise convolution of a stream: y[t] = bias + Σ_k weight[k]·x[t - K + 1 + k], oldest input first,
  /// then silu where asked. x, y: T × C; weight: K × C; y may not alias x.
  ///
  /// `taps`, (K - 1) × C, holds the inputs before x, oldest first, and afterwards the last K - 1 inputs: so any cut
  /// of a stream gives the same bits. Complexity: O(T · K · C).
  package func causalConvolution(
    _ x: Matrix, taps: Matrix, weight: Matrix, bias: Matrix?, silu: Bool, into y: Matrix
  ) {
    let channels = x.columns
    precondition(
      y.rows == x.rows && y.columns == channels && weight.rows >= 1 && weight.columns == channels
        && taps.rows == weight.rows - 1 && taps.columns == channels
        && (bias.map { $0.rows == 1 && $0.columns == channels } ?? true), "a convolution of mismatched shapes")
    // Safe: the shapes were checked above; parts touch disjoint channels of y and taps.
    let job = meander_convolution(
      x: x.base, x_stride: x.stride, taps: taps.base, taps_stride: taps.stride, weight: weight.base,
      weight_stride: weight.stride, bias: bias.map { UnsafePointer($0.base) }, y: y.base, y_stride: y.stride,
      tokens: x.rows, width: weight.rows, silu: silu)
    let function = functions.convolution
    withUnsafePointer(to: job) { job in
      team.split(channels, grain: 16, workers: sharing(operations: x.rows * channels * (weight.rows + 16))) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
