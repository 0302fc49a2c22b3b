import CMeanderKernels

/// What stands between two projections of a feed-forward, and in gates.
package enum Activation: String, Sendable, CaseIterable {
  /// x · sigmoid(x)
  case silu
  case sigmoid
  case tanh
  /// x · Φ(x), Φ the normal distribution (Hendrycks and Gimpel 2016).
  case gelu
  /// The same with Φ as ½ · (1 + tanh(√(2/π) · (x + 0.044715 x³))), as many models were trained.
  case geluTanh
  case relu
  /// max(x, 0)² (So and others 2021).
  case reluSquared
  /// ELU(x) + 1: x + 1 above zero, exp(x) below (Katharopoulos and others 2020).
  case eluPlusOne

  fileprivate var kind: meander_activation_kind {
    switch self {
    case .silu: MEANDER_SILU
    case .sigmoid: MEANDER_SIGMOID
    case .tanh: MEANDER_TANH
    case .gelu: MEANDER_GELU
    case .geluTanh: MEANDER_GELU_TANH
    case .relu: MEANDER_RELU
    case .reluSquared: MEANDER_RELU_SQUARED
    case .eluPlusOne: MEANDER_ELU_PLUS_ONE
    }
  }
}

extension Kernels {
  /// y = activation(x), times `factor` where there is one: 1 × columns or the shape of x. In place allowed.
  package func activate(_ x: Matrix, _ activation: Activation, times factor: Matrix? = nil, into y: Matrix) {
    let job = meander_activation(rows: elementwiseJob(x, factor, into: y), kind: activation.kind)
    let function = functions.activate
    // Safe: the job's shapes agree, and parts write disjoint rows of y.
    withUnsafePointer(to: job) { job in
      team.split(y.rows, workers: sharing(operations: y.rows * y.columns * 16)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }

  /// Back through `activate`: dx += dy · factor · activation'(x), and dfactor += dy · activation(x), all of one shape.
  package func activationBackward(
    _ x: Matrix, _ activation: Activation, times factor: (value: Matrix, gradient: Matrix)? = nil, dy: Matrix, dx: Matrix
  ) {
    for other in [dy, dx, factor?.value, factor?.gradient].compactMap({ $0 }) {
      precondition(other.rows == x.rows && other.columns == x.columns, "shapes differ")
    }
    // Safe: the shapes were checked above.
    var job = meander_activation_backward(
      a: x.base, a_stride: x.stride, b: factor.map { UnsafePointer($0.value.base) }, b_stride: factor?.value.stride ?? 0,
      dy: dy.base, dy_stride: dy.stride, da: dx.base, da_stride: dx.stride, db: factor?.gradient.base,
      db_stride: factor?.gradient.stride ?? 0, rows: x.rows, columns: x.columns, kind: Int32(activation.kind.rawValue))
    training.activation_backward(&job)
  }
}
