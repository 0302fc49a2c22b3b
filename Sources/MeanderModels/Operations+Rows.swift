import MeanderKernels

// What is done to each number of a row by itself.
extension Operations {
  /// activation(x), times `factor` where there is one, T × columns.
  package func activate(_ x: Matrix, _ activation: Activation, times factor: Matrix? = nil) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.activate(x, activation, times: factor, into: y)
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        kernels.activationBackward(
          x, activation, times: factor.map { ($0, gradients.of($0)) }, dy: gradients.of(y), dx: gradients.of(x))
      }
    }
    return y
  }

  /// factor · x: in place without a tape, and x itself where the factor is one.
  package func scale(_ x: Matrix, by factor: Float) -> Matrix {
    guard factor != 1 else { return x }
    return scaled(x, by: factor, into: tape == nil ? x : nil)
  }

  /// factor · x, into a matrix of its own unless one is given.
  package func scaled(_ x: Matrix, by factor: Float, into result: Matrix? = nil) -> Matrix {
    let y = result ?? arena.matrix(rows: x.rows, columns: x.columns)
    if result == nil { y.copy(from: x) }
    let row = arena.matrix(rows: 1, columns: x.columns)
    row.fill(factor)
    kernels.multiply(row, into: y)
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record { kernels.add(gradients.of(y), scale: factor, to: gradients.of(x)) }
    }
    return y
  }

  /// residual + x: in place without a tape, T × D.
  package func add(_ x: Matrix, to residual: Matrix) -> Matrix {
    let y = tape == nil ? residual : arena.matrix(rows: x.rows, columns: x.columns)
    if tape != nil { y.copy(from: residual) }
    kernels.add(x, into: y)
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        kernels.add(gradients.of(y), to: gradients.of(x))
        kernels.add(gradients.of(y), to: gradients.of(residual))
      }
    }
    return y
  }

  func recordLayerNorm(_ x: Matrix, _ norm: Norm, _ y: Matrix) {
    guard let tape else { return }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    tape.record {
      clock.measure(.norm) {
        kernels.layerNormBackward(
          x, weight: norm.weight, epsilon: norm.epsilon, dy: gradients.of(y), dx: gradients.of(x),
          dweight: gradients.wanted(norm.source), dbias: gradients.wanted(norm.bias))
      }
    }
  }
}
