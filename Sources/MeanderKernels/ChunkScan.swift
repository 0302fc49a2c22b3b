import CMeanderKernels

// The selective scan of Mamba-2 in chunks of Q tokens (Dao and Gu 2024, section 6): what trains.
//
// Per head, with the time step d and the log-decay l = rate·d + ln cA of each token, cs[t] the sum of l from the chunk's
// first token to t, Z[t] = sB·d·x[t], S = C·Bᵀ, and L[t, j] = exp(cs[t] - cs[j]) for j ≤ t, else 0:
//
//     y      = (L ∘ S)·Z + exp(cs)·(C·h) + D·x
//     h'     = exp(cs[Q])·h + Σ_j exp(cs[Q] - cs[j])·B[j] ⊗ Z[j]
//
// and back, with H' the gradient of h', dM = dy·Zᵀ, and R = dM ∘ L ∘ S:
//
//     dZ     = (L ∘ S)ᵀ·dy + exp(cs[Q] - cs)·(B·H')          dS = dM ∘ L, summed over the heads of a group
//     dC     = dS·B + exp(cs)·(dy·hᵀ)                        dB = dSᵀ·C + exp(cs[Q] - cs)·(Z·H'ᵀ)
//     H      = exp(cs[Q])·H' + Σ_t exp(cs[t])·C[t] ⊗ dy[t]
//     dcs[t] = Σ_j R[t, j] - Σ_i R[i, t] + exp(cs[t])·⟨C[t], dy[t]·hᵀ⟩ - V[t],   V[t] = exp(cs[Q] - cs[t])·⟨B[t]·H', Z[t]⟩
//     dcs[Q] gains Σ V + exp(cs[Q])·⟨H', h⟩;   dl[t] = Σ_{i ≥ t} dcs[i]
//
// The state is kept as the streaming scan keeps it, h = exp(pending)·g, so that heads which remember a million tokens never
// multiply by 1 - 1e-9 in fp32; decays are summed in fp64.

/// The gates of a run of tokens as the chunked scan wants them.
package struct HeadSteps {
  /// T × H: the time step after limits, scale and filter.
  package let step: Matrix
  /// T · H log-decays.
  package let decay: Doubles

  package init(step: Matrix, decay: Doubles) {
    self.step = step
    self.decay = decay
  }
}

/// Every head's gate, laid out as the kernels read it.
package struct HeadTable {
  let count: Int
  /// rate | ln cA
  let wide: Doubles
  /// bias | scale | threshold | insertion | minimum | maximum
  let narrow: Matrix

  package init(_ heads: [HeadGate]) {
    count = heads.count
    wide = Doubles(heads.map(\.rate) + heads.map(\.logRetention))
    let rows: [KeyPath<HeadGate, Float>] = [\.bias, \.scale, \.threshold, \.insertion, \.minimum, \.maximum]
    narrow = Matrix(rows.flatMap { row in heads.map { $0[keyPath: row] } }, rows: 6, columns: heads.count)
  }

  // Safe: each row of `narrow` holds `count` numbers, and `wide` twice as many.
  fileprivate func steps(_ dt: Matrix, into steps: HeadSteps, total: UnsafeMutablePointer<Double>?) -> meander_steps {
    meander_steps(
      dt: dt.base, dt_stride: dt.stride, rate: wide.base, log_retention: wide.base + count, bias: narrow.base,
      scale: narrow.base + count, threshold: narrow.base + 2 * count, minimum: narrow.base + 4 * count,
      maximum: narrow.base + 5 * count, step: steps.step.base, decay: steps.decay.base, total: total, tokens: dt.rows,
      heads: count)
  }

  fileprivate var insertion: UnsafeMutablePointer<Float> { narrow.base + 3 * count }
}

/// What a chunked scan reads.
package struct ChunkScanInputs {
  /// T × (H·P)
  package let x: Matrix
  /// T × (G·N)
  package let b: Matrix
  /// T × (G·N)
  package let c: Matrix
  package let steps: HeadSteps
  package let heads: HeadTable
  /// D, 1 × H
  package let skip: Matrix
  package let groups: Int
  /// Q, at most 64.
  package let chunk: Int

  package init(
    x: Matrix, b: Matrix, c: Matrix, steps: HeadSteps, heads: HeadTable, skip: Matrix, groups: Int, chunk: Int = 64
  ) {
    (self.x, self.b, self.c, self.steps, self.heads) = (x, b, c, steps, heads)
    (self.skip, self.groups, self.chunk) = (skip, groups, chunk)
  }

  package var headWidth: Int { x.columns / heads.count }
  package var stateSize: Int { b.columns / groups }
  package var chunks: Int { (x.rows + chunk - 1) / chunk }
  /// Floats of scratch memory that the scan and its way back take.
  package var scratchCount: Int { meander_chunk_scratch(chunk, headWidth, stateSize) }

  func check(state: Matrix, scratch: Matrix) {
    let count = heads.count
    precondition(
      count > 0 && groups > 0 && count % groups == 0 && (1...64).contains(chunk) && x.columns % count == 0
        && b.columns % groups == 0 && b.rows == x.rows && c.rows == x.rows && c.columns == b.columns
        && steps.step.rows == x.rows && steps.step.columns == count && steps.step.stride == count
        && steps.decay.count == x.rows * count && skip.columns == count && state.stride == state.columns
        && state.columns == headWidth && state.rows == count * stateSize && scratch.rows * scratch.columns >= scratchCount,
      "a chunked scan of mismatched shapes")
  }
}

extension Kernels {
  /// The time steps and log-decays of T tokens from their raw time steps (T × H); `total` takes in every decay. O(T · H).
  package func steps(_ dt: Matrix, heads: HeadTable, total: Doubles?, into steps: HeadSteps) {
    precondition(
      dt.columns == heads.count && steps.step.rows == dt.rows && steps.step.columns == heads.count
        && steps.step.stride == heads.count && steps.decay.count == dt.rows * heads.count
        && (total?.count ?? heads.count) == heads.count, "steps of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = heads.steps(dt, into: steps, total: total?.base)
    training.steps(&job)
  }

  /// Back through `steps`: from the gradients of decays and insertions (T × H) to dt, its bias, and ln|A|. O(T · H).
  package func stepsBackward(
    _ dt: Matrix, heads: HeadTable, steps: HeadSteps, ddecay: Matrix, dinsertion: Matrix, ddt: Matrix, dbias: Matrix?,
    dlogRate: Matrix?
  ) {
    for other in [ddecay, dinsertion] {
      precondition(other.rows == dt.rows && other.columns == heads.count && other.stride == heads.count, "shapes differ")
    }
    precondition(
      ddt.rows == dt.rows && ddt.columns == heads.count && (dbias?.columns ?? heads.count) == heads.count
        && (dlogRate?.columns ?? heads.count) == heads.count, "shapes differ")
    // Safe: the shapes were checked above.
    var job = meander_steps_backward(
      forward: heads.steps(dt, into: steps, total: nil), insertion: heads.insertion, ddecay: ddecay.base,
      dinsertion: dinsertion.base, ddt: ddt.base, ddt_stride: ddt.stride, dbias: dbias?.base, dlog_rate: dlogRate?.base)
    training.steps_backward(&job)
  }

  /// Moves the state over T tokens in chunks. state: (H·N) × P, contiguous, to be multiplied by exp(pending); y: T × (H·P).
  ///
  /// `boundaries` keeps the state before each chunk for the way back: chunks rows of H·N·P numbers, and chunks · H pending
  /// decays. Complexity: O(T · H · (N · P + Q · (N / H · G + P))).
  package func chunkScan(
    _ inputs: ChunkScanInputs, state: Matrix, pending: Doubles, boundaries: (states: Matrix, pending: Doubles)?,
    scratch: Matrix, into y: Matrix?
  ) {
    inputs.check(state: state, scratch: scratch)
    precondition(
      pending.count == inputs.heads.count && (y.map { $0.rows == inputs.x.rows && $0.columns == inputs.x.columns } ?? true)
        && (boundaries.map {
          $0.states.rows == inputs.chunks && $0.states.columns == state.rows * state.columns
            && $0.states.stride == $0.states.columns && $0.pending.count == inputs.chunks * inputs.heads.count
        } ?? true), "a chunked scan of mismatched shapes")
    guard inputs.x.rows > 0 else { return }
    var job = chunkJob(inputs, state: state, pending: pending, boundaries: boundaries, scratch: scratch, y: y)
    training.chunk_scan(&job)
  }

  /// Back through `chunkScan`.
  ///
  /// - Parameters:
  ///   - dstate: (H·N) × P: the gradient of the true state after the last token; on return, before the first.
  ///   - dtotal: H numbers, the gradient of each head's sum of all decays, where something depends on it.
  ///   - ddecay, dinsertion: T × H, overwritten: what `stepsBackward` takes.
  package func chunkScanBackward(
    _ inputs: ChunkScanInputs, boundaries: (states: Matrix, pending: Doubles), scratch: Matrix, dy: Matrix, dstate: Matrix,
    dtotal: Doubles?, dx: Matrix, db: Matrix, dc: Matrix, ddecay: Matrix, dinsertion: Matrix, dskip: Matrix?
  ) {
    inputs.check(state: dstate, scratch: scratch)
    let (tokens, heads) = (inputs.x.rows, inputs.heads.count)
    precondition(
      boundaries.states.rows == inputs.chunks && boundaries.states.columns == dstate.rows * dstate.columns
        && boundaries.pending.count == inputs.chunks * heads && dy.rows == tokens && dy.columns == inputs.x.columns
        && dx.rows == tokens && dx.columns == inputs.x.columns && db.rows == tokens && db.columns == inputs.b.columns
        && dc.rows == tokens && dc.columns == inputs.b.columns && (dskip?.columns ?? heads) == heads
        && (dtotal?.count ?? heads) == heads, "a chunked scan of mismatched shapes")
    for other in [ddecay, dinsertion] {
      precondition(other.rows == tokens && other.columns == heads && other.stride == heads, "shapes differ")
    }
    guard tokens > 0 else { return }
    // Safe: the shapes were checked above; the forward's state and pending are not touched on the way back.
    var job = meander_chunk_scan_backward(
      forward: chunkJob(
        inputs, state: dstate, pending: boundaries.pending, boundaries: boundaries, scratch: scratch, y: nil),
      dy: dy.base, dy_stride: dy.stride, dstate: dstate.base, dtotal: dtotal.map { UnsafePointer($0.base) }, dx: dx.base,
      dx_stride: dx.stride, db: db.base, db_stride: db.stride, dc: dc.base, dc_stride: dc.stride, ddecay: ddecay.base,
      dinsertion: dinsertion.base, dskip: dskip?.base)
    training.chunk_scan_backward(&job)
  }

  private func chunkJob(
    _ inputs: ChunkScanInputs, state: Matrix, pending: Doubles, boundaries: (states: Matrix, pending: Doubles)?,
    scratch: Matrix, y: Matrix?
  ) -> meander_chunk_scan {
    // Safe: both callers have checked every shape, and hold the views until the job is done.
    meander_chunk_scan(
      x: inputs.x.base, x_stride: inputs.x.stride, b: inputs.b.base, b_stride: inputs.b.stride, c: inputs.c.base,
      c_stride: inputs.c.stride, decay: inputs.steps.decay.base, step: inputs.steps.step.base,
      insertion: inputs.heads.insertion, skip: inputs.skip.base, state: state.base, pending: pending.base,
      boundaries: boundaries?.states.base, boundary_pending: boundaries?.pending.base, y: y?.base, y_stride: y?.stride ?? 0,
      tokens: inputs.x.rows, heads: inputs.heads.count, groups: inputs.groups, head_width: inputs.headWidth,
      state_size: inputs.stateSize, chunk: inputs.chunk, scratch: scratch.base)
  }
}
