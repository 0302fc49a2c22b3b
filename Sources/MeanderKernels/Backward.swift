import CMeanderKernels

// The way back through the operations of a layer. Every gradient is added to what stands in its place, and a gradient that
// nobody wants is passed as nil. The calling thread does it all: training shares out streams.
extension Kernels {
  /// Back through `rootMeanSquareNorm` and, with a gate, `gatedRootMeanSquareNorm`. With u = x·silu(gate),
  /// r = 1 / sqrt(mean u² + ε) and e = weight·dy: du = r·(e - u·r²·mean(u·e)), dweight = Σ dy·u·r.
  ///
  /// x, gate, dy, dx, dgate: T × columns; weight, dweight: 1 × columns. O(T · columns).
  package func normBackward(
    _ x: Matrix, gate: (value: Matrix, gradient: Matrix)? = nil, weight: Matrix, epsilon: Float, groups: Int, dy: Matrix,
    dx: Matrix, dweight: Matrix?
  ) {
    let columns = x.columns
    for other in [dy, dx, gate?.value, gate?.gradient].compactMap({ $0 }) {
      precondition(other.rows == x.rows && other.columns == columns, "shapes differ")
    }
    precondition(groups > 0 && columns % groups == 0 && weight.columns == columns && (dweight?.columns ?? columns) == columns)
    // Safe: the shapes were checked above.
    var job = meander_norm_backward(
      x: x.base, x_stride: x.stride, gate: gate.map { UnsafePointer($0.value.base) }, gate_stride: gate?.value.stride ?? 0,
      weight: weight.base, dy: dy.base, dy_stride: dy.stride, dx: dx.base, dx_stride: dx.stride, dgate: gate?.gradient.base,
      dgate_stride: gate?.gradient.stride ?? 0, dweight: dweight?.base, rows: x.rows, columns: columns, groups: groups,
      epsilon: epsilon)
    training.norm_backward(&job)
  }

  /// Back through `layerNorm`. x, dy, dx: T × columns; weight, dweight, dbias: 1 × columns. O(T · columns).
  package func layerNormBackward(
    _ x: Matrix, weight: Matrix, epsilon: Float, groups: Int = 1, dy: Matrix, dx: Matrix, dweight: Matrix?, dbias: Matrix?
  ) {
    let columns = x.columns
    precondition(
      [dy, dx].allSatisfy { $0.rows == x.rows && $0.columns == columns } && groups > 0 && columns % groups == 0
        && [weight, dweight, dbias].allSatisfy { ($0?.columns ?? columns) == columns }, "shapes differ")
    // Safe: the shapes were checked above.
    var job = meander_layer_norm_backward(
      x: x.base, x_stride: x.stride, weight: weight.base, dy: dy.base, dy_stride: dy.stride, dx: dx.base,
      dx_stride: dx.stride, dweight: dweight?.base, dbias: dbias?.base, rows: x.rows, columns: columns, groups: groups,
      epsilon: epsilon)
    training.layer_norm_backward(&job)
  }

  /// Back through `causalConvolution`. x, dy, dx: T × C; taps and dtaps, (K - 1) × C: the inputs before the first token and
  /// their gradient; weight, dweight: K × C; bias, dbias: 1 × C. O(T · K · C).
  package func causalConvolutionBackward(
    _ x: Matrix, taps: Matrix, weight: Matrix, bias: Matrix?, silu: Bool, dy: Matrix, dx: Matrix, dtaps: Matrix,
    dweight: Matrix?, dbias: Matrix?
  ) {
    let channels = x.columns
    precondition(
      dy.rows == x.rows && dx.rows == x.rows && dy.columns == channels && dx.columns == channels
        && taps.rows == weight.rows - 1 && dtaps.rows == taps.rows && taps.columns == channels && dtaps.columns == channels
        && weight.columns == channels && (dweight?.rows ?? weight.rows) == weight.rows
        && (dweight?.columns ?? channels) == channels && (bias?.columns ?? channels) == channels
        && (dbias?.columns ?? channels) == channels, "a convolution of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_convolution_backward(
      x: x.base, x_stride: x.stride, taps: taps.base, taps_stride: taps.stride, weight: weight.base,
      weight_stride: weight.stride, bias: bias.map { UnsafePointer($0.base) }, dy: dy.base, dy_stride: dy.stride, dx: dx.base,
      dx_stride: dx.stride, dtaps: dtaps.base, dtaps_stride: dtaps.stride, dweight: dweight?.base,
      dweight_stride: dweight?.stride ?? 0, dbias: dbias?.base, tokens: x.rows, channels: channels, width: weight.rows,
      silu: silu)
    training.convolution_backward(&job)
  }

  /// The loss of each row, weight·(log Σ exp(logits) - logits[target]) in nats, whether the target was the largest logit, and
  /// into `gradient` that of the logits, scale·weight·(softmax - onehot); the logits' own place will do.
  /// logits, gradient: T × V; targets lie below V. O(T · V).
  package func crossEntropy(
    _ logits: Matrix, targets: ArraySlice<Int32>, weights: ArraySlice<Float>, scale: Float, gradient: Matrix
  ) -> (losses: [Float], hits: [Float]) {
    let rows = logits.rows
    precondition(gradient.rows == rows && gradient.columns == logits.columns, "shapes differ")
    precondition(targets.count == rows && weights.count == rows, "\(targets.count) targets for \(rows) rows")
    precondition(targets.allSatisfy { $0 >= 0 && $0 < logits.columns }, "a target past the vocabulary")
    var losses = [Float](repeating: 0, count: rows)
    var hits = losses
    // Safe: every row has a target inside it, a weight, and places in both results.
    targets.withUnsafeBufferPointer { targets in
      weights.withUnsafeBufferPointer { weights in
        losses.withUnsafeMutableBufferPointer { losses in
          hits.withUnsafeMutableBufferPointer { hits in
            guard let targets = targets.baseAddress, let weights = weights.baseAddress, let losses = losses.baseAddress,
              let hits = hits.baseAddress
            else { return }
            var job = meander_cross_entropy(
              logits: logits.base, stride: logits.stride, dlogits: gradient.base, dlogits_stride: gradient.stride,
              targets: targets, weights: weights, losses: losses, hits: hits, scale: scale, rows: rows,
              columns: logits.columns)
            training.cross_entropy(&job)
          }
        }
      }
    }
    return (losses, hits)
  }

  /// What one step of AdamW (Loshchilov and Hutter 2019) is given beside the numbers.
  package struct AdamStep: Sendable {
    /// What the gradient is multiplied with first: clipping and averaging.
    package var scale: Float
    package var rate: Float
    package var beta1: Float
    package var beta2: Float
    package var epsilon: Float
    /// Weight decay, as a factor on rate · value.
    package var decay: Float
    /// 1 / (1 - β₁ᵗ) and 1 / (1 - β₂ᵗ).
    package var correction1: Float
    package var correction2: Float

    package init(
      scale: Float, rate: Float, beta1: Float, beta2: Float, epsilon: Float, decay: Float, correction1: Float,
      correction2: Float
    ) {
      (self.scale, self.rate, self.beta1, self.beta2) = (scale, rate, beta1, beta2)
      (self.epsilon, self.decay, self.correction1, self.correction2) = (epsilon, decay, correction1, correction2)
    }
  }

  /// Moves `value` by one step of AdamW; first and second are its moments. All four are contiguous and of one shape. O(count).
  package func adam(_ value: Matrix, gradient: Matrix, first: Matrix, second: Matrix, _ step: AdamStep) {
    for other in [value, gradient, first, second] {
      precondition(
        other.rows == value.rows && other.columns == value.columns && (other.rows <= 1 || other.stride == other.columns),
        "shapes differ")
    }
    // Safe: the four views are contiguous and hold as many numbers.
    var job = meander_adam(
      value: value.base, gradient: gradient.base, first: first.base, second: second.base, count: value.rows * value.columns,
      scale: step.scale, rate: step.rate, beta1: step.beta1, beta2: step.beta2, epsilon: step.epsilon, decay: step.decay,
      correction1: step.correction1, correction2: step.correction2)
    training.adam(&job)
  }
}
