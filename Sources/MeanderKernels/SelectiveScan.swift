import CMeanderKernels

// The selective scan of Mamba-2 (Dao and Gu 2024) with lazy decay.
//
// The state of a head is h = exp(s)·g: g is stored (fp32, N × P), and s ≤ 0 is the log-decay that is still pending
// (fp64). Per token and head, with d = softplus(dt + bias) clamped to the time-step limits:
//
//     d = sD·d; d = 0 where d is below the threshold; l = rate·d + ln cA (fp64); total += l; s += l
//     s < -16:  f = exp(s), i = sB·d,         e = 1, then s = 0       (the pending decay is folded into g)
//     else:     f = 1,      i = sB·d·exp(-s), e = exp(s)              (what comes in is scaled up instead)
//     g[n, p] = B[n]·(i·x[p]) + f·g[n, p]
//     y[p] = D·x[p] + e·Σ_n C[n]·g[n, p]
//
// So a head that remembers a million tokens never multiplies its state by 1 - 1e-9 in fp32, which would forget at a
// wrong rate or never, and most tokens of most heads need no multiplication by a decay at all. Folds depend on the
// stream alone, so every cut of it gives the same bits. Whoever looks at a state must multiply it by exp(s).

/// What shapes one head's gates: its own numbers, and the knobs of the gate transform.
package struct HeadGate: Sendable {
  /// sA · A, with A = -exp(A_log): negative.
  package var rate: Double
  /// ln cA: 0 unless a mitigation bounds retention.
  package var logRetention: Double
  /// The time step's bias.
  package var bias: Float
  /// sD, the scale of the time step.
  package var scale: Float
  /// g: a scaled time step below it counts as 0.
  package var threshold: Float
  /// sB, the scale of what is inserted.
  package var insertion: Float
  /// The time step's limits, applied to softplus before the scale.
  package var minimum: Float
  package var maximum: Float

  package init(
    rate: Double, logRetention: Double = 0, bias: Float = 0, scale: Float = 1, threshold: Float = 0,
    insertion: Float = 1, minimum: Float = 0, maximum: Float = .infinity
  ) {
    self.rate = rate
    self.logRetention = logRetention
    self.bias = bias
    self.scale = scale
    self.threshold = threshold
    self.insertion = insertion
    self.minimum = minimum
    self.maximum = maximum
  }
}

extension Kernels {
  /// The gates f | i | e of T tokens (T × 3H) from their raw time steps (T × H), and each head's pending and total
  /// log-decay moved on. Complexity: O(T · H).
  package func gates(_ dt: Matrix, heads: [HeadGate], pending: Doubles, total: Doubles, into gates: Matrix) {
    let count = heads.count
    precondition(
      dt.columns == count && pending.count == count && total.count == count && gates.rows == dt.rows
        && gates.columns == 3 * count, "gates of mismatched shapes")
    let padded = (count + 15) / 16 * 16
    let function = functions.gates
    let workers = sharing(operations: dt.rows * count * 60)
    // Safe: both temporaries hold `padded` numbers an array, all written below; the kernel reads whole vectors up to
    // `padded` there and exactly `count` columns elsewhere; parts are disjoint heads.
    withUnsafeTemporaryAllocation(of: Double.self, capacity: 2 * padded) { doubles in
      withUnsafeTemporaryAllocation(of: Float.self, capacity: 6 * padded) { floats in
        doubles.initialize(repeating: 0)
        floats.initialize(repeating: 0)
        guard let wide = doubles.baseAddress, let narrow = floats.baseAddress else { return }
        for (index, head) in heads.enumerated() {
          wide[index] = head.rate
          wide[padded + index] = head.logRetention
          narrow[index] = head.bias
          narrow[padded + index] = head.scale
          narrow[2 * padded + index] = head.threshold
          narrow[3 * padded + index] = head.insertion
          narrow[4 * padded + index] = head.minimum
          narrow[5 * padded + index] = head.maximum
        }
        let job = meander_gates(
          dt: dt.base, dt_stride: dt.stride, rate: wide, log_retention: wide + padded, bias: narrow,
          scale: narrow + padded, threshold: narrow + 2 * padded, insertion: narrow + 3 * padded,
          minimum: narrow + 4 * padded, maximum: narrow + 5 * padded, pending: pending.base, total: total.base,
          gates: gates.base, gates_stride: gates.stride, tokens: dt.rows, heads: count)
        withUnsafePointer(to: job) { job in
          team.split(count, grain: 16, workers: workers) { function(job, $0.lowerBound, $0.upperBound) }
        }
      }
    }
  }

  /// Moves the state over T tokens, and writes the outputs of the last `outputs` of them.
  ///
  /// x: T × (H·P); b: T × (G·N); c: outputs × (G·N); gates: T × 3H; skip: 1 × H, or 1 × (H·P); state: (H·N) × P,
  /// contiguous; rest: as the state, what fp32 cannot hold of it, or nil, and it is lost; y: outputs × (H·P). Head h reads group h / (H / G). Tokens without an output cost a third less.
  /// Complexity: O(T · H · N · P) time, no memory.
  package func selectiveScan(
    x: Matrix, b: Matrix, c: Matrix?, gates: Matrix, skip: Matrix, state: Matrix, rest: Matrix? = nil, groups: Int,
    outputs: Int, into y: Matrix?
  ) {
    let heads = gates.columns / 3
    let width = state.columns
    if let rest {
      precondition(rest.rows == state.rows && rest.columns == width && rest.stride == width, "a rest of another shape")
    }
    precondition(
      groups > 0 && heads > 0 && heads % groups == 0 && width > 0 && gates.columns == 3 * heads
        && state.rows % heads == 0 && state.stride == width && x.columns == heads * width && b.rows == x.rows
        && gates.rows == x.rows && outputs >= 0 && outputs <= x.rows, "a scan of mismatched shapes")
    let size = state.rows / heads
    precondition(
      b.columns == groups * size && skip.rows == 1 && (skip.columns == heads || skip.columns == heads * width)
        && (outputs == 0 || (c?.columns == groups * size && c?.rows == outputs))
        && (outputs == 0 || (y?.columns == heads * width && y?.rows == outputs)), "a scan of mismatched shapes")
    // Safe: the shapes were checked above; parts touch disjoint places of state and y.
    let job = meander_scan(
      x: x.base, x_stride: x.stride, b: b.base, b_stride: b.stride, c: c.map { UnsafePointer($0.base) },
      c_stride: c?.stride ?? 0, gates: gates.base, gates_stride: gates.stride, skip: skip.base,
      skip_per_channel: skip.columns != heads, state: state.base, rest: rest?.base, y: y?.base, y_stride: y?.stride ?? 0,
      tokens: x.rows, outputs: outputs, heads: heads, groups: groups, head_width: width, state_size: size)
    let function = functions.scan
    let blocks = (width + Int(MEANDER_SCAN_BLOCK) - 1) / Int(MEANDER_SCAN_BLOCK)
    withUnsafePointer(to: job) { job in
      team.split(heads * blocks, workers: sharing(operations: 2 * x.rows * state.rows * width)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
