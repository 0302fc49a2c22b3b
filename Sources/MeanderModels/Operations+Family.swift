import MeanderKernels

// What the mixers of the family are made of beside projections, norms and recurrences. Each knows its way back; a gradient goes
// to whatever stands in the arena, in a state, or is a parameter that is trained.
extension Operations {
  /// Records a way back; the closure is given the gradient of `y`.
  package func record(_ y: Matrix, _ step: @escaping (_ dy: Matrix, _ gradients: Gradients, _ kernels: Kernels) -> Void) {
    guard let tape else { return }
    let (kernels, gradients) = (kernels, tape.gradients)
    tape.record { step(gradients.of(y), gradients, kernels) }
  }

  /// A matrix of one number, that no gradient is asked of.
  func constant(_ value: Float, rows: Int = 1, columns: Int) -> Matrix {
    let y = arena.matrix(rows: rows, columns: columns)
    y.fill(value)
    return y
  }

  /// The row before each, less the row itself, T × D: x[t - 1] - x[t]. `last` (1 × D) is the row before the first, and moves on.
  package func shifted(_ x: Matrix, last: Matrix) -> Matrix { delayed(x, last: last, less: 1) }

  /// The row before each, T × D, less `share` of the row itself. `last` (1 × D) is the row before the first, and moves on.
  package func delayed(_ x: Matrix, last: Matrix, less share: Float = 0) -> Matrix {
    let (y, count) = (arena.matrix(rows: x.rows, columns: x.columns), x.rows)
    guard count > 0 else { return y }
    y.rows(0..<1).copy(from: last)
    if count > 1 { y.rows(1..<count).copy(from: x.rows(0..<count - 1)) }
    if share != 0 { kernels.add(x, scale: -share, to: y) }
    last.copy(from: x.rows(count - 1..<count))
    record(y) { dy, gradients, kernels in
      let (dx, dlast) = (gradients.of(x), gradients.of(last))
      kernels.add(dlast, to: dx.rows(count - 1..<count))
      dlast.copy(from: dy.rows(0..<1))
      if share != 0 { kernels.add(dy, scale: -share, to: dx) }
      if count > 1 { kernels.add(dy.rows(1..<count), to: dx.rows(0..<count - 1)) }
    }
    return y
  }

  /// x ∘ factor, T × columns; factor: one row for all, or T × columns.
  package func multiply(_ x: Matrix, by factor: Matrix) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: x)
    kernels.multiply(factor, into: y)
    recordProduct(of: x, factor, y)
    return y
  }

  /// x + a ∘ factor, T × columns; factor: one row for all, or T × columns.
  package func addProduct(_ x: Matrix, _ a: Matrix, _ factor: Matrix) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: a)
    kernels.multiply(factor, into: y)
    kernels.add(x, into: y)
    record(y) { dy, gradients, kernels in kernels.add(dy, to: gradients.of(x)) }
    recordProduct(of: a, factor, y)
    return y
  }

  private func recordProduct(of x: Matrix, _ factor: Matrix, _ y: Matrix) {
    record(y) { dy, gradients, kernels in
      let part = Matrix(rows: dy.rows, columns: dy.columns)
      if let dx = gradients.wanted(x) {
        part.copy(from: dy)
        kernels.multiply(factor, into: part)
        kernels.add(part, to: dx)
      }
      guard let dfactor = gradients.wanted(factor) else { return }
      part.copy(from: dy)
      kernels.multiply(x, into: part)
      if factor.rows == 1 { kernels.addRows(of: part, to: dfactor) } else { kernels.add(part, to: dfactor) }
    }
  }

  /// x + number, T × columns.
  package func offset(_ x: Matrix, by number: Float) -> Matrix { offset(x, by: constant(number, columns: x.columns)) }

  /// x + row, T × columns; the row, 1 × columns, is the same for all.
  package func offset(_ x: Matrix, by row: Matrix) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: x)
    kernels.add(row, into: y)
    record(y) { dy, gradients, kernels in
      kernels.add(dy, to: gradients.of(x))
      if let drow = gradients.wanted(row) { kernels.addRows(of: dy, to: drow) }
    }
    return y
  }

  /// exp(scale · x), T × columns.
  package func exponential(_ x: Matrix, scale: Float = 1) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    y.copy(from: x)
    if scale != 1 { kernels.multiply(constant(scale, columns: x.columns), into: y) }
    kernels.exponential(y, into: y)
    record(y) { dy, gradients, kernels in
      guard let dx = gradients.wanted(x) else { return }
      let part = Matrix(rows: dy.rows, columns: dy.columns)
      part.copy(from: dy)
      kernels.multiply(y, into: part)
      kernels.add(part, scale: scale, to: dx)
    }
    return y
  }

  /// Σ_p a[h, p]·b[h, p] of each head, T × H.
  package func headDot(_ a: Matrix, _ b: Matrix, heads: Int) -> Matrix {
    let y = arena.matrix(rows: a.rows, columns: heads)
    kernels.headDot(a, b, into: y)
    record(y) { dy, gradients, kernels in
      kernels.headScale(b, by: dy, into: gradients.of(a), adding: true)
      kernels.headScale(a, by: dy, into: gradients.of(b), adding: true)
    }
    return y
  }

  /// Each head times a number of its own, T × (H·P); factors: T × H.
  package func headScale(_ x: Matrix, by factors: Matrix) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.headScale(x, by: factors, into: y)
    record(y) { dy, gradients, kernels in
      if let dx = gradients.wanted(x) { kernels.headScale(dy, by: factors, into: dx, adding: true) }
      kernels.headDot(dy, x, into: gradients.of(factors), adding: true)
    }
    return y
  }

  /// The norm of each of `groups` equal parts of a row by itself, T × columns.
  package func norm(_ x: Matrix, _ norm: Norm, groups: Int) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    switch norm.kind {
    case .rootMeanSquare:
      kernels.rootMeanSquareNorm(x, weight: norm.weight, epsilon: norm.epsilon, groups: groups, into: y)
      recordNorm(x, gate: nil, weight: norm.weight, source: norm.source, epsilon: norm.epsilon, groups: groups, y)
    case .layer:
      kernels.layerNorm(x, weight: norm.weight, bias: norm.bias, epsilon: norm.epsilon, groups: groups, into: y)
      record(y) { dy, gradients, kernels in
        kernels.layerNormBackward(
          x, weight: norm.weight, epsilon: norm.epsilon, groups: groups, dy: dy, dx: gradients.of(x),
          dweight: gradients.wanted(norm.source), dbias: gradients.wanted(norm.bias))
      }
    }
    return y
  }

  /// x / sqrt(Σ x² + ε) of each head, T × (H·P).
  package func unitHeads(_ x: Matrix, heads: Int, epsilon: Float) -> Matrix {
    let width = Float(x.columns / heads)
    let weight = constant(1 / width.squareRoot(), columns: x.columns)
    return norm(x, Norm(.rootMeanSquare, weight: weight, epsilon: epsilon / width), groups: heads)
  }

  /// cap · tanh(x / cap): in place without a tape.
  package func softCap(_ x: Matrix, _ cap: Float) -> Matrix { scale(activate(scale(x, by: 1 / cap), .tanh), by: cap) }

  /// h[t] = exp(decay[t])·h[t - 1] + input[t] for each channel by itself, T × I. The true state is state + rest, 1 × I each; it
  /// moves on.
  package func channelRecurrence(_ input: Matrix, decay: Matrix, state: Matrix, rest: Matrix) -> Matrix {
    let (tokens, channels) = (input.rows, input.columns)
    let column = constant(1, rows: tokens, columns: 1)
    return channelScan(
      ChannelInputs(
        x: input, input: input, dt: decay, rate: constant(1, columns: channels), b: column, c: column,
        skip: constant(0, columns: channels)), state: state, rest: rest, transform: .identity)
  }
}
