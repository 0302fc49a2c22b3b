import CMeanderKernels

// The linear recurrence that the family shares. Per head, with N keys and a width of P:
//
//     U = exp(decay)·S                                 a decay for each key, or one for the head
//     S = U + replacement ⊗ (removal·U) + k ⊗ v        removal and replacement: the delta rule, where there is one
//     y = q·S                                          or of S before the token, where q reads first
//
// Where nothing is removed, k, v, q and y may have R slices each: S = U + Σ_r k[r] ⊗ v[r], y[r] = q[r]·S.
//
// RetNet and lightning attention decay by a constant; GLA, HGRN2 and RWKV-6 by a number for each key and token; mLSTM by one
// for each head and token. DeltaNet removes k and replaces by -b·k, with its gated kin decaying a head or each key, so that the
// replacement is k times a strength; RWKV-7 has removal and replacement of its own. Mamba-3 has slices.
//
// The state is stored with decay pending, as the selective scan of Mamba-2 stores it: S = exp(s)·G, s in fp64, so that a key
// that remembers a million tokens is not multiplied by 1 - 1e-9 in fp32. What comes in is scaled up by exp(-s), what is read
// scaled down; below -16 the pending decay is folded in. So no fp32 factor near one is ever applied.

/// What a linear recurrence reads of T tokens.
package struct LinearInputs {
  /// outputs × (G·R·N): of the last tokens alone.
  package var q: Matrix
  /// T × (G·R·N)
  package var k: Matrix
  /// T × (H·R·P)
  package var v: Matrix
  /// Log-decays, at most 0: T × H, or T × (H·N).
  package var decay: Matrix
  /// T × (G·N), with one of the next two or neither.
  package var removal: Matrix?
  /// T × (G·N)
  package var replacement: Matrix?
  /// T × G: the replacement is so many times k.
  package var strength: Matrix?
  /// H
  package var heads: Int
  /// G, which divides H.
  package var groups: Int
  /// R, 1 where something is removed.
  package var rank: Int
  /// Whether y is read of the state before its token.
  package var readsBefore: Bool

  package init(
    q: Matrix, k: Matrix, v: Matrix, decay: Matrix, removal: Matrix? = nil, replacement: Matrix? = nil,
    strength: Matrix? = nil, heads: Int, groups: Int? = nil, rank: Int = 1, readsBefore: Bool = false
  ) {
    (self.q, self.k, self.v, self.decay) = (q, k, v, decay)
    (self.removal, self.replacement, self.strength) = (removal, replacement, strength)
    (self.heads, self.groups, self.rank, self.readsBefore) = (heads, groups ?? heads, rank, readsBefore)
  }

  /// T
  package var tokens: Int { v.rows }
  /// N
  package var stateSize: Int { k.columns / (groups * rank) }
  /// P
  package var headWidth: Int { v.columns / (heads * rank) }
  /// Log-decays of a head: 1 or N.
  package var decays: Int { decay.columns / heads }
  /// Floats of scratch memory that the scan takes for a token.
  package var scratchPerToken: Int { (removal == nil ? 1 + 2 * rank : 5) * heads * stateSize }

  func check(state: Matrix, pending: Doubles, total: Doubles) {
    precondition(
      heads > 0 && groups > 0 && heads % groups == 0 && rank > 0 && k.columns % (groups * rank) == 0
        && v.columns % (heads * rank) == 0 && decay.columns % heads == 0 && (decays == 1 || decays == stateSize)
        && k.rows == tokens && decay.rows == tokens && q.rows <= tokens && q.columns == k.columns,
      "a linear recurrence of mismatched shapes")
    precondition(
      state.rows == heads * stateSize && state.columns == headWidth && state.stride == headWidth
        && pending.count == heads * decays && total.count == pending.count, "a state of another shape")
    precondition(
      [replacement, strength].count { $0 != nil } == (removal == nil ? 0 : 1) && (removal == nil || rank == 1),
      "a removal without one replacement, or of several slices")
    for (other, columns) in [(removal, k.columns), (replacement, k.columns), (strength, groups)] {
      guard let other else { continue }
      precondition(other.rows == tokens && other.columns == columns, "a removal of mismatched shapes")
    }
  }
}

extension Kernels {
  /// Moves the state over T tokens, one after the other, and writes the outputs of those that q is of. O(T · H · R · N · P).
  ///
  /// - Parameters:
  ///   - state: G, (H·N) × P, contiguous.
  ///   - pending, total: s, and the log-decay since the start: H numbers, or H·N.
  ///   - scratch: T rows of `scratchPerToken`, contiguous.
  ///   - y: outputs × (H·R·P)
  package func linearScan(
    _ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles, scratch: Matrix, into y: Matrix
  ) {
    inputs.check(state: state, pending: pending, total: total)
    let (tokens, outputs, heads, size) = (inputs.tokens, inputs.q.rows, inputs.heads, inputs.stateSize)
    precondition(
      y.rows == outputs && y.columns == inputs.v.columns && scratch.rows * scratch.columns >= tokens * inputs.scratchPerToken
        && (scratch.rows <= 1 || scratch.stride == scratch.columns), "a linear recurrence of mismatched shapes")
    guard tokens > 0 else { return }
    // Safe: the shapes were checked above; the scratch memory holds as many arrays of T × (H·N) as are taken from it.
    let (array, rank) = (tokens * heads * size, inputs.rank)
    let (factors, key, read) = (scratch.base, scratch.base + array, scratch.base + (1 + rank) * array)
    let removed = inputs.removal.map { _ in scratch.base + 3 * array }
    let replaced = inputs.removal.map { _ in scratch.base + 4 * array }
    let gates = meander_linear_gates(
      decay: inputs.decay.base, decay_stride: inputs.decay.stride, q: inputs.q.base, q_stride: inputs.q.stride,
      k: inputs.k.base, k_stride: inputs.k.stride, removal: inputs.removal.map { UnsafePointer($0.base) },
      removal_stride: inputs.removal?.stride ?? 0, replacement: inputs.replacement.map { UnsafePointer($0.base) },
      replacement_stride: inputs.replacement?.stride ?? 0, strength: inputs.strength.map { UnsafePointer($0.base) },
      strength_stride: inputs.strength?.stride ?? 0, pending: pending.base, total: total.base, factors: factors, read: read,
      key: key, removed: removed, replaced: replaced, tokens: tokens, outputs: outputs, heads: heads, groups: inputs.groups,
      state_size: size, decays: inputs.decays, rank: rank, reads_before: inputs.readsBefore)
    let scan = meander_linear_scan(
      v: inputs.v.base, v_stride: inputs.v.stride, factors: factors, read: read, key: key, removed: removed,
      replaced: replaced, state: state.base, y: y.base, y_stride: y.stride, tokens: tokens, outputs: outputs, heads: heads,
      head_width: inputs.headWidth, state_size: size, rank: rank, reads_before: inputs.readsBefore)
    let (gate, move) = (functions.linear_gates, functions.linear_scan)
    let blocks = (inputs.headWidth + Int(MEANDER_LINEAR_BLOCK) - 1) / Int(MEANDER_LINEAR_BLOCK)
    withUnsafePointer(to: gates) { job in
      team.split(heads, workers: sharing(operations: 12 * array)) { gate(job, $0.lowerBound, $0.upperBound) }
    }
    withUnsafePointer(to: scan) { job in
      team.split(heads * blocks, workers: sharing(operations: 2 * array * rank * inputs.headWidth)) {
        move(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
