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
  /// y = Σ_n C[n]·h[n] + D·x for each of I channels; writes the outputs of the last `outputs` tokens.
  ///
  /// The true state is state + rest: what fp32 cannot hold of it is kept beside it, so that decays of 1e-9 a token add up.
  ///
  /// x, dt (after softplus): T × I; rate (A): N × I; b: T × N; c: outputs × N; skip: 1 × I; state, rest: N × I;
  /// y: outputs × I. Complexity: O(T · N · I) time, no memory.
  package func channelScan(
    x: Matrix, dt: Matrix, rate: Matrix, b: Matrix, c: Matrix?, skip: Matrix, state: Matrix, rest: Matrix,
    gate: ChannelGate = .init(), outputs: Int, into y: Matrix?
  ) {
    let channels = x.columns
    let size = state.rows
    precondition(
      dt.rows == x.rows && dt.columns == channels && rate.rows == size && rate.columns == channels
        && b.rows == x.rows && b.columns == size && skip.rows == 1 && skip.columns == channels
        && state.columns == channels && rest.columns == channels && rest.rows == size && outputs >= 0 && outputs <= x.rows
        && (outputs == 0 || (c?.columns == size && c?.rows == outputs))
        && (outputs == 0 || (y?.columns == channels && y?.rows == outputs)), "a scan of mismatched shapes")
    // Safe: the shapes were checked above; parts touch disjoint channels of state and y.
    let job = meander_channel_scan(
      x: x.base, x_stride: x.stride, dt: dt.base, dt_stride: dt.stride, rate: rate.base, rate_stride: rate.stride,
      b: b.base, b_stride: b.stride, c: c.map { UnsafePointer($0.base) }, c_stride: c?.stride ?? 0, skip: skip.base,
      state: state.base, state_stride: state.stride, rest: rest.base, rest_stride: rest.stride, y: y?.base,
      y_stride: y?.stride ?? 0, tokens: x.rows, outputs: outputs, channels: channels, state_size: size,
      rate_scale: gate.rateScale, log_retention: gate.logRetention, insertion: gate.insertion)
    let function = functions.channel_scan
    withUnsafePointer(to: job) { job in
      team.split(channels, grain: 16, workers: sharing(operations: x.rows * size * channels * 12)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
