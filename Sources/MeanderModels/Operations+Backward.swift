import MeanderKernels

// How to go back through each operation. Gradients are added to what stands in their places; those of frozen parameters
// are not computed.
extension Operations {
  /// y = x·Wᵀ + bias (+ residual): dx += dy·W, dW += dyᵀ·x, dbias += Σ dy, and the residual takes dy.
  func recordProduct(_ x: Matrix, _ weight: Weight, _ y: Matrix, residual: Matrix? = nil) {
    guard let tape else { return }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    let sourced = weight.turnedSource?.columns ?? weight.sources.reduce(0) { $0 + $1.rows }
    precondition(sourced == y.columns, "a weight that was not made for training")
    tape.record {
      let (dx, dy) = (gradients.of(x), gradients.of(y))
      if let residual { kernels.add(dy, to: gradients.of(residual)) }
      clock.measure(.product) {
        if let source = weight.turnedSource {
          kernels.multiply(dy.plain, source.turned, into: dx, adding: true)
          if let dweight = gradients.wanted(source) { kernels.multiply(x.turned, dy.plain, into: dweight, adding: true) }
        }
        var first = 0
        for source in weight.sources {
          let part = dy.columns(first..<first + source.rows)
          kernels.multiply(part.plain, source.plain, into: dx, adding: true)
          if let dweight = gradients.wanted(source) {
            kernels.multiply(part.turned, x.plain, into: dweight, adding: true)
          }
          first += source.rows
        }
      }
      var first = 0
      for source in weight.biasSources {
        let part = dy.columns(first..<first + source.columns)
        if let dbias = gradients.wanted(source) { kernels.addRows(of: part, to: dbias) }
        first += source.columns
      }
    }
  }

  /// The rows that were looked up take their gradients.
  func recordEmbedding(_ tokens: ArraySlice<Int32>, _ weight: Weight, _ y: Matrix) {
    guard let tape else { return }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    tape.record {
      guard let source = weight.sources.first, let dweight = gradients.wanted(source) else { return }
      let dy = gradients.of(y)
      clock.measure(.embedding) {
        for (row, token) in tokens.enumerated() {
          kernels.add(dy.rows(row..<row + 1), to: dweight.rows(Int(token)..<Int(token) + 1))
        }
      }
    }
  }

  func recordNorm(
    _ x: Matrix, gate z: Matrix?, weight: Matrix, source: Matrix?, epsilon: Float, groups: Int, _ y: Matrix
  ) {
    guard let tape else { return }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    tape.record {
      clock.measure(.norm) {
        kernels.normBackward(
          x, gate: z.map { ($0, gradients.of($0)) }, weight: weight, epsilon: epsilon, groups: groups, dy: gradients.of(y),
          dx: gradients.of(x), dweight: gradients.wanted(source))
      }
    }
  }

  /// To be called before the taps move on. The gradient of the taps after the run goes to the inputs that became them.
  func recordConvolution(_ x: Matrix, taps: Matrix, weight: ConvolutionWeight, silu: Bool, _ y: Matrix) {
    guard let tape else { return }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    let before = arena.matrix(rows: taps.rows, columns: taps.columns)
    before.copy(from: taps)
    tape.record {
      clock.measure(.convolution) {
        let (dx, dtaps) = (gradients.of(x), gradients.of(taps))
        let after = Matrix(dtaps.array(), rows: taps.rows, columns: taps.columns)
        dtaps.fill(0)
        for tap in 0..<taps.rows {
          let place = x.rows + tap
          let input = place < taps.rows ? dtaps.rows(place..<place + 1) : dx.rows(place - taps.rows..<place - taps.rows + 1)
          kernels.add(after.rows(tap..<tap + 1), to: input)
        }
        let dsource = gradients.wanted(weight.source)
        let dweight = dsource.map { Matrix(rows: $0.columns, columns: $0.rows) }
        kernels.causalConvolutionBackward(
          x, taps: before, weight: weight.taps, bias: weight.bias, silu: silu, dy: gradients.of(y), dx: dx, dtaps: dtaps,
          dweight: dweight, dbias: gradients.wanted(weight.bias))
        if let dsource, let dweight { dsource.addTransposed(dweight) }
      }
    }
  }
}

extension Matrix {
  /// Adds the transpose of a small matrix.
  func addTransposed(_ other: Matrix) {
    let values = other.array()
    for row in 0..<rows { for column in 0..<columns { self[row, column] += values[column * rows + row] } }
  }
}
