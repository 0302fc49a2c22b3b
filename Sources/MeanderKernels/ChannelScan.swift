import CMeanderKernels

/// The gate transform of a layer without heads: one for all its channels. Its time step was scaled and filtered before.
package struct ChannelGate: Sendable {
  /// sA, the scale of A.
  package var rateScale: Float = 1
  /// ln cA, which joins every decay.
  package var logRetention: Float = 0
  /// sB, the scale of what is inserted.
  package var insertion: Float = 1

  package init() {}
}

extension Kernels {
  /// The selective scan of Mamba-1 (Gu and Dao 2023): h[n] = cA·exp(sA·dt·A[n])·h[n] + sB·dt·x·B[n],
  /// y = Σ_n C[n]·h[n] + D·x for each of I channels; writes the outputs of the last `outputs` tokens. Where there is an `input`
  /// (T × I), it stands in the place of sB·dt·x.
  ///
  /// The true state is state + rest: what fp32 cannot hold of it is kept beside it, so that decays of 1e-9 a token add up.
  ///
  /// x, dt (after softplus): T × I; rate (A): N × I; b: T × N; c: outputs × N; skip: 1 × I; state, rest: N × I;
  /// y: outputs × I. Complexity: O(T · N · I) time, no memory.
  package func channelScan(
    x: Matrix, input: Matrix? = nil, dt: Matrix, rate: Matrix, b: Matrix, c: Matrix?, skip: Matrix, state: Matrix,
    rest: Matrix, gate: ChannelGate = .init(), outputs: Int, into y: Matrix?
  ) {
    let job = channelJob(
      x: x, input: input, dt: dt, rate: rate, b: b, c: c, skip: skip, state: state, rest: rest, gate: gate, outputs: outputs,
      y: y)
    let function = functions.channel_scan
    withUnsafePointer(to: job) { job in
      team.split(x.columns, grain: 16, workers: sharing(operations: x.rows * state.rows * x.columns * 12)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }

  /// Safe to run over any channels: the shapes are checked here, and parts touch disjoint channels of state and y.
  private func channelJob(
    x: Matrix, input: Matrix?, dt: Matrix, rate: Matrix, b: Matrix, c: Matrix?, skip: Matrix, state: Matrix, rest: Matrix,
    gate: ChannelGate, outputs: Int, y: Matrix?
  ) -> meander_channel_scan {
    let channels = x.columns
    let size = state.rows
    precondition(
      dt.rows == x.rows && dt.columns == channels && rate.rows == size && rate.columns == channels
        && b.rows == x.rows && b.columns == size && skip.rows == 1 && skip.columns == channels
        && state.columns == channels && rest.columns == channels && rest.rows == size && outputs >= 0 && outputs <= x.rows
        && (outputs == 0 || (c?.columns == size && c?.rows == outputs))
        && (y.map { $0.columns == channels && $0.rows == outputs } ?? true)
        && (input.map { $0.columns == channels && $0.rows == x.rows } ?? true), "a scan of mismatched shapes")
    return meander_channel_scan(
      x: x.base, x_stride: x.stride, input: input.map { UnsafePointer($0.base) }, input_stride: input?.stride ?? 0, dt: dt.base, dt_stride: dt.stride, rate: rate.base, rate_stride: rate.stride,
      b: b.base, b_stride: b.stride, c: c.map { UnsafePointer($0.base) }, c_stride: c?.stride ?? 0, skip: skip.base,
      state: state.base, state_stride: state.stride, rest: rest.base, rest_stride: rest.stride, y: y?.base,
      y_stride: y?.stride ?? 0, tokens: x.rows, outputs: outputs, channels: channels, state_size: size,
      rate_scale: gate.rateScale, log_retention: gate.logRetention, insertion: gate.insertion)
  }

  /// Where the gradients of what a channel scan reads are added, each in the shape of its own; nil where nobody wants one.
  package struct ChannelGradients {
    package var x, dt: Matrix
    package var input, rate, b, c, skip: Matrix?

    package init(x: Matrix, dt: Matrix, input: Matrix?, rate: Matrix?, b: Matrix?, c: Matrix?, skip: Matrix?) {
      (self.x, self.dt, self.input, self.rate, self.b, self.c, self.skip) = (x, dt, input, rate, b, c, skip)
    }
  }

  /// Back through `channelScan` without a gate transform. `state` and `rest` are those before the first token; `dstate` (N × I)
  /// is the gradient of the state after the last token, and on return before the first. The calling thread does it all.
  package func channelScanBackward(
    x: Matrix, input: Matrix? = nil, dt: Matrix, rate: Matrix, b: Matrix, c: Matrix, skip: Matrix, state: Matrix,
    rest: Matrix, dy: Matrix, dstate: Matrix, gradients: ChannelGradients
  ) {
    func fits(_ gradient: Matrix?, _ value: Matrix) -> Bool {
      gradient.map { $0.rows == value.rows && $0.columns == value.columns } ?? true
    }
    precondition(
      dy.rows == c.rows && dy.columns == x.columns && fits(dstate, state) && fits(gradients.x, x) && fits(gradients.dt, dt)
        && fits(gradients.rate, rate) && fits(gradients.b, b) && fits(gradients.c, c) && fits(gradients.skip, skip)
        && (input == nil) == (gradients.input == nil) && fits(gradients.input, x), "a scan of mismatched shapes")
    let forward = channelJob(
      x: x, input: input, dt: dt, rate: rate, b: b, c: c, skip: skip, state: state, rest: rest, gate: .init(),
      outputs: c.rows, y: nil)
    let states = Matrix(rows: (x.rows + 1) * state.rows, columns: Int(MEANDER_BLOCK))
    // Safe: the shapes were checked above, and `states` holds a block of channels for each token and the one before.
    var job = meander_channel_scan_backward(
      forward: forward, dy: dy.base, dy_stride: dy.stride, dx: gradients.x.base, dx_stride: gradients.x.stride,
      dinput: gradients.input?.base, dinput_stride: gradients.input?.stride ?? 0, ddt: gradients.dt.base,
      ddt_stride: gradients.dt.stride, drate: gradients.rate?.base, drate_stride: gradients.rate?.stride ?? 0,
      db: gradients.b?.base, db_stride: gradients.b?.stride ?? 0, dc: gradients.c?.base, dc_stride: gradients.c?.stride ?? 0,
      dskip: gradients.skip?.base, dstate: dstate.base, dstate_stride: dstate.stride, states: states.base)
    training.channel_scan_backward(&job)
  }
}
