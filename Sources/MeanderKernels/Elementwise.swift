import CMeanderKernels

extension Kernels {
  typealias ElementwiseFunction = @convention(c) (UnsafePointer<meander_elementwise>, Int, Int) -> Void

  /// y = softplus(x + bias) = ln(1 + exp(x + bias)); bias: 1 × columns or the shape of x. In place allowed.
  package func softplus(_ x: Matrix, bias: Matrix? = nil, into y: Matrix) {
    elementwise(functions.softplus, x, bias, into: y, cost: 20)
  }

  /// y = y + x; x: 1 × columns or the shape of y.
  package func add(_ x: Matrix, into y: Matrix) { elementwise(functions.add, y, x, into: y) }

  /// y = y · x; x: 1 × columns or the shape of y.
  package func multiply(_ x: Matrix, into y: Matrix) { elementwise(functions.multiply, y, x, into: y) }

  /// y = exp(x). In place allowed.
  package func exponential(_ x: Matrix, into y: Matrix) {
    elementwise(functions.exponential, x, nil, into: y, cost: 12)
  }

  /// y = x rounded to the nearest bf16, ties to even. In place allowed.
  package func roundToBF16(_ x: Matrix, into y: Matrix) { elementwise(functions.round_to_bf16, x, nil, into: y) }

  func elementwise(_ function: ElementwiseFunction, _ a: Matrix, _ b: Matrix?, into y: Matrix, cost: Int = 2) {
    withUnsafePointer(to: elementwiseJob(a, b, into: y)) { job in
      team.split(y.rows, workers: sharing(operations: y.rows * y.columns * cost)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }

  /// Safe to run over any rows of y: the shapes are checked here, and parts write disjoint rows.
  func elementwiseJob(_ a: Matrix, _ b: Matrix?, into y: Matrix) -> meander_elementwise {
    precondition(
      a.rows == y.rows && a.columns == y.columns
        && (b.map { ($0.rows == 1 || $0.rows == y.rows) && $0.columns == y.columns } ?? true), "shapes differ")
    return meander_elementwise(
      a: a.base, a_stride: a.stride, b: b.map { UnsafePointer($0.base) },
      b_stride: b.map { $0.rows == 1 ? 0 : $0.stride } ?? 0, y: y.base, y_stride: y.stride, columns: y.columns)
  }
}
