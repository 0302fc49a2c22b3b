import MeanderKernels

/// What a scan over channels reads of T tokens, as `Kernels.channelScan` has it.
package struct ChannelInputs {
  /// T × I
  package var x: Matrix
  /// T × I, where what is inserted is not dt·x.
  package var input: Matrix?
  /// T × I, after softplus.
  package var dt: Matrix
  /// A, N × I.
  package var rate: Matrix
  /// T × N
  package var b: Matrix
  /// outputs × N
  package var c: Matrix
  /// D, 1 × I
  package var skip: Matrix
  /// In training, the parameter ln(-A), I × N, that `rate` was turned from.
  package var logRate: Matrix?

  package init(
    x: Matrix, input: Matrix? = nil, dt: Matrix, rate: Matrix, b: Matrix, c: Matrix, skip: Matrix, logRate: Matrix? = nil
  ) {
    (self.x, self.input, self.dt, self.rate) = (x, input, dt, rate)
    (self.b, self.c, self.skip, self.logRate) = (b, c, skip, logRate)
  }
}

extension Operations {
  /// The selective scan of Mamba-1, outputs × I; the state (N × I, with what fp32 cannot hold of it in `rest`) moves on by all
  /// T tokens. A state of its own for every channel has nothing to share out in products, so its chunks are tokens.
  ///
  /// - Parameter transform: the gate transform of all channels; dt is overwritten where it scales or filters time steps.
  package func channelScan(
    _ inputs: ChannelInputs, state: Matrix, rest: Matrix, transform: GateTransform
  ) -> Matrix {
    let outputs = inputs.c.rows
    let y = arena.matrix(rows: outputs, columns: inputs.x.columns)
    if transform.timeStepScale != 1 || transform.threshold > 0 {
      kernels.scaleAndFilter(inputs.dt, scale: transform.timeStepScale, threshold: transform.threshold)
    }
    let gate = transform.channelGate
    recordChannelScan(inputs, state: state, rest: rest, transform: transform, y)
    switch form {
    case .scan, .chunk:
      timed(.scan) {
        kernels.channelScan(
          x: inputs.x, input: inputs.input, dt: inputs.dt, rate: inputs.rate, b: inputs.b,
          c: outputs > 0 ? inputs.c : nil, skip: inputs.skip, state: state, rest: rest, gate: gate, outputs: outputs,
          into: outputs > 0 ? y : nil)
      }
    case .naive:
      naiveScan(inputs, state: state, rest: rest, gate: gate, into: y)
    }
    return y
  }

  /// Adds the sum of the rows, times `scale`, to `totals`: what channels' decays come to since the start.
  func gather(_ rows: Matrix, scale: Double = 1, into totals: Doubles) {
    for row in 0..<rows.rows {
      for column in 0..<rows.columns { totals[column] += scale * Double(rows[row, column]) }
    }
  }

  /// To be called before the state moves on.
  private func recordChannelScan(
    _ inputs: ChannelInputs, state: Matrix, rest: Matrix, transform: GateTransform, _ y: Matrix
  ) {
    guard let tape else { return }
    if transform != .identity { tape.block("a gate transform of Mamba-1's channels") }
    if repeats > 1 { tape.block("a power of a stretch through a scan over channels") }
    let (kernels, gradients, clock) = (kernels, tape.gradients, clock)
    func copy(_ matrix: Matrix) -> Matrix {
      let copy = Matrix(rows: matrix.rows, columns: matrix.columns)
      copy.copy(from: matrix)
      return copy
    }
    let (before, low) = (copy(state), copy(rest))
    tape.record {
      clock.measure(.scan) {
        let drate = inputs.logRate.flatMap { gradients.wanted($0) }.map { _ in
          Matrix(rows: inputs.rate.rows, columns: inputs.rate.columns)
        }
        let unwanted = Matrix(rows: 1, columns: inputs.skip.columns)
        kernels.channelScanBackward(
          x: inputs.x, input: inputs.input, dt: inputs.dt, rate: inputs.rate, b: inputs.b, c: inputs.c, skip: inputs.skip,
          state: before, rest: low, dy: gradients.of(y), dstate: gradients.of(state),
          gradients: Kernels.ChannelGradients(
            x: gradients.of(inputs.x), dt: gradients.of(inputs.dt), input: inputs.input.map { gradients.of($0) },
            rate: drate, b: gradients.wanted(inputs.b), c: gradients.wanted(inputs.c),
            skip: gradients.wanted(inputs.skip) ?? unwanted))
        // A = -exp(ln(-A)), so d ln(-A) = dA·A.
        guard let drate, let logRate = inputs.logRate, let dlogRate = gradients.wanted(logRate) else { return }
        kernels.multiply(inputs.rate, into: drate)
        dlogRate.addTransposed(drate)
      }
    }
  }
}
