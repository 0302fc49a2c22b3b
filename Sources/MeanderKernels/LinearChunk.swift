import CMeanderKernels

// The linear recurrence in chunks of Q tokens: what trains. Per head, with c[t] the pending decay and all decays up to token t,
// and hats for what is scaled to the stored state, q̂ = exp(c)·q, r̂ = exp(c)·removal, k̂ = exp(-c)·k, p̂ = exp(-c)·replacement:
//
//     (1 - L)·D = r̂·G + M·V        L = r̂·p̂ᵀ, M = r̂·k̂ᵀ, both strictly lower: what the removals find
//     y         = q̂·G + (q̂·p̂ᵀ)·D + (q̂·k̂ᵀ)·V, both lower (strictly, with exp(c) of the token before, where q reads first)
//     G'        = G + p̂ᵀ·D + k̂ᵀ·V
//
// which is the WY form of the delta rule (Yang and others 2024) with decays inside; without removals D falls away. A chunk ends
// early where exp(-c) would grow past e^40, and a token that decays by more is a chunk of its own, whose decay is multiplied in
// before: q̂ and its like are unscaled there. Back, with H = exp(c[Q])·dS' the gradient of G', dP = dy·Dᵀ and dR = dy·Vᵀ (lower):
//
//     E   = (1 - L)⁻ᵀ·((q̂·p̂ᵀ)ᵀ·dy + p̂·H)        dL = E·Dᵀ, dM = E·Vᵀ (strictly lower)
//     dq̂  = dy·Gᵀ + dP·p̂ + dR·k̂                  dr̂ = E·Gᵀ + dL·p̂ + dM·k̂
//     dp̂  = dPᵀ·q̂ + dLᵀ·r̂ + D·Hᵀ                 dk̂ = dRᵀ·q̂ + dMᵀ·r̂ + V·Hᵀ
//     dV  = (q̂·k̂ᵀ)ᵀ·dy + Mᵀ·E + k̂·H              dG = H + q̂ᵀ·dy + r̂ᵀ·E
//     dc  = q̂·dq̂ + r̂·dr̂ - k̂·dk̂ - p̂·dp̂ per token (at the token before for q that reads first), without H's part in dk̂ and dp̂
//     d(decay[t]) = Σ_{i ≥ t} dc[i] + ΣH·G + Σ_{i < t} H·(k̂[i] ⊗ v[i] + p̂[i] ⊗ D[i])
//
// A decay's gradient is what was written before it, at all times, with what is read after it; of a token that decays by much, next to
// nothing. So what would cancel but for rounding has no part in these sums: what a token writes and reads itself, which is added
// afterwards, and what H reads of tokens that are not before.

/// The stored states before each chunk of each head, which the way back starts from.
package final class LinearBoundaries {
  struct Chunk {
    let tokens: Range<Int>
    /// s before the chunk.
    let pending: [Double]
    /// G before the chunk, N × P.
    let state: Matrix
  }
  var heads: [[Chunk]] = []

  package init() {}
}

extension LinearInputs {
  /// Q
  var chunk: Int { max(headWidth, stateSize) >= 64 ? 64 : 32 }

  /// The end of the chunk that begins at `first`: Q tokens, or as many as keep c above -40, at least one.
  func end(ofChunkAt first: Int, head: Int, pending: [Double]) -> Int {
    var sums = pending
    let last = min(first + chunk, tokens)
    for token in first..<last {
      var isLow = false
      for index in sums.indices {
        sums[index] += decay(of: head, at: token, index)
        isLow = isLow || sums[index] < Self.lowest
      }
      if isLow { return max(token, first + 1) }
    }
    return last
  }

  private static let lowest = -40.0

  /// Number `index` of the log-decays of a head at a token.
  func decay(of head: Int, at token: Int, _ index: Int) -> Double {
    // Safe: the shapes were checked; a row holds `decays` numbers for each head.
    Double(decay.base[token * decay.stride + head * decays + index])
  }

  /// For a token that decays by more than a chunk can: the sum that is to be multiplied in before it.
  func isolatedDecay(_ tokens: Range<Int>, head: Int, pending: [Double]) -> [Double]? {
    guard tokens.count == 1 else { return nil }
    let sums = pending.indices.map { pending[$0] + decay(of: head, at: tokens.lowerBound, $0) }
    return sums.contains { $0 < Self.lowest } ? sums : nil
  }

  /// Bytes that a head's chunk takes, and its way back: some thirty arrays of Q × N, Q × P or Q × Q, and three of N × P.
  var chunkByteCount: Int {
    let rows = chunk + 1
    let widest = max(stateSize, headWidth, rows)
    return 32 * Arena.byteCount(rows: rows, columns: widest) + 3 * Arena.byteCount(rows: stateSize, columns: headWidth)
  }

  /// The columns of q and its like that a head reads.
  func group(_ head: Int) -> Range<Int> {
    let group = head / (heads / groups)
    return group * stateSize..<(group + 1) * stateSize
  }
}

/// One head over one chunk: everything scaled to the stored state.
struct LinearChunk {
  let tokens: Range<Int>
  let q, k, v: Matrix
  let removal, replacement: Matrix?
  let shrink, grow: Matrix
  /// exp(c) that q is scaled by: of the token or of the one before.
  let readShrink: Matrix
  /// c after the last token.
  let pending: [Double]
  let readsBefore: Bool
  /// What the removals find, with the state before the chunk: Q × P.
  var found: Matrix?
  let room: Arena

  /// `pending`: nil where all decay is in the state already. `room`: where everything of the chunk stands.
  init(
    _ inputs: LinearInputs, head: Int, tokens: Range<Int>, pending: [Double]?, state: Matrix, room: Arena, kernels: Kernels
  ) {
    (self.tokens, self.room) = (tokens, room)
    readsBefore = inputs.readsBefore
    let (size, count) = (inputs.stateSize, tokens.count)
    let own = inputs.group(head)
    let shrinks = room.matrix(rows: count + 1, columns: size)
    grow = room.matrix(rows: count, columns: size)
    let decay = inputs.decay.rows(tokens).columns(head * inputs.decays..<(head + 1) * inputs.decays)
    if let pending {
      self.pending = kernels.linearExponents(decay, pending: pending, shrink: shrinks, grow: grow)
    } else {
      self.pending = [Double](repeating: 0, count: inputs.decays)
      shrinks.fill(1)
      grow.fill(1)
    }
    shrink = shrinks.rows(1..<count + 1)
    readShrink = readsBefore ? shrinks.rows(0..<count) : shrink
    func scaled(_ matrix: Matrix, _ scale: Matrix) -> Matrix {
      let result = room.matrix(rows: count, columns: size)
      result.copy(from: matrix.rows(tokens).columns(own))
      kernels.multiply(scale, into: result)
      return result
    }
    q = scaled(inputs.q, readShrink)
    k = scaled(inputs.k, grow)
    v = inputs.v.rows(tokens).columns(head * inputs.headWidth..<(head + 1) * inputs.headWidth)
    removal = inputs.removal.map { [shrink] in scaled($0, shrink) }
    replacement = inputs.replacement.map { [grow] in scaled($0, grow) }
    guard let removal, let replacement else { return }
    let found = room.matrix(rows: count, columns: v.columns)
    kernels.multiply(removal.plain, state.plain, into: found)
    kernels.multiply(lower(removal, k, strictly: true, kernels).plain, v.plain, into: found, adding: true)
    kernels.unitSolve(lower(removal, replacement, strictly: true, kernels), found, transposed: false)
    self.found = found
  }

  /// a·bᵀ with zeros above the diagonal, and on it where `strictly`.
  func lower(_ a: Matrix, _ b: Matrix, strictly: Bool, _ kernels: Kernels) -> Matrix {
    let result = room.matrix(rows: a.rows, columns: b.rows)
    kernels.multiply(a.plain, b.turned, into: result)
    result.clearUpper(strictly: strictly)
    return result
  }

  /// Adds what the chunk writes to the stored state.
  func move(_ state: Matrix, _ kernels: Kernels) {
    kernels.multiply(k.turned, v.plain, into: state, adding: true)
    if let replacement, let found { kernels.multiply(replacement.turned, found.plain, into: state, adding: true) }
  }
}

extension Kernels {
  /// What `linearScan` does, by products of matrices inside chunks; q is of every token. The calling thread does it all.
  ///
  /// - Parameter boundaries: takes the states that the way back needs.
  package func linearChunkScan(
    _ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles, boundaries: LinearBoundaries?, into y: Matrix
  ) {
    inputs.check(state: state, pending: pending, total: total)
    precondition(
      inputs.q.rows == inputs.tokens && y.rows == inputs.tokens && y.columns == inputs.v.columns,
      "a linear recurrence of mismatched shapes")
    let (size, width, decays) = (inputs.stateSize, inputs.headWidth, inputs.decays)
    let room = Arena(byteCount: inputs.chunkByteCount)
    boundaries?.heads = []
    for head in 0..<inputs.heads {
      let own = state.rows(head * size..<(head + 1) * size)
      var left = (0..<decays).map { pending[head * decays + $0] }
      var chunks: [LinearBoundaries.Chunk] = []
      var first = 0
      while first < inputs.tokens {
        let end = inputs.end(ofChunkAt: first, head: head, pending: left)
        if boundaries != nil {
          let copy = Matrix(rows: size, columns: width)
          copy.copy(from: own)
          chunks.append(LinearBoundaries.Chunk(tokens: first..<end, pending: left, state: copy))
        }
        for token in first..<end {
          for index in 0..<decays { total[head * decays + index] += inputs.decay(of: head, at: token, index) }
        }
        room.reset()
        let isolated = inputs.isolatedDecay(first..<end, head: head, pending: left)
        let read = isolated != nil && inputs.readsBefore ? own.scaled(left, in: room) : own
        if let isolated { own.scaleRows(isolated) }
        let chunk = LinearChunk(
          inputs, head: head, tokens: first..<end, pending: isolated == nil ? left : nil, state: own, room: room,
          kernels: self)
        let out = y.rows(first..<end).columns(head * width..<(head + 1) * width)
        multiply(chunk.q.plain, read.plain, into: out)
        let reads = chunk.lower(chunk.q, chunk.k, strictly: inputs.readsBefore, self)
        multiply(reads.plain, chunk.v.plain, into: out, adding: true)
        if let replacement = chunk.replacement, let found = chunk.found {
          let rereads = chunk.lower(chunk.q, replacement, strictly: inputs.readsBefore, self)
          multiply(rereads.plain, found.plain, into: out, adding: true)
        }
        chunk.move(own, self)
        left = own.fold(chunk.pending)
        first = end
      }
      for index in left.indices { pending[head * decays + index] = left[index] }
      boundaries?.heads.append(chunks)
    }
  }

  /// exp(c) before and after each token and exp(-c), of one head over a chunk; the sum of decays after it.
  fileprivate func linearExponents(_ decay: Matrix, pending: [Double], shrink: Matrix, grow: Matrix) -> [Double] {
    let sums = Doubles(pending)
    // Safe: `shrink` has a row more than `grow`, which has one for each row of decays; all are N wide.
    var job = meander_linear_exponents(
      decay: decay.base, decay_stride: decay.stride, pending: sums.base, shrink: shrink.base, grow: grow.base,
      tokens: decay.rows, state_size: grow.columns, decays: pending.count)
    training.linear_exponents(&job)
    return sums.array()
  }

  /// x = (1 - lower)⁻¹·x, or with the transpose, for a strictly lower matrix. O(rows² · columns).
  package func unitSolve(_ lower: Matrix, _ x: Matrix, transposed: Bool) {
    precondition(lower.rows == lower.columns && lower.rows == x.rows, "a system of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_unit_solve(
      lower: lower.base, lower_stride: lower.stride, x: x.base, x_stride: x.stride, rows: x.rows, columns: x.columns,
      transposed: transposed)
    training.unit_solve(&job)
  }
}

extension Matrix {
  /// Zeros above the diagonal, and on it where `strictly`.
  fileprivate func clearUpper(strictly: Bool) {
    for row in 0..<rows where row + (strictly ? 0 : 1) < columns {
      rows(row..<row + 1).columns(row + (strictly ? 0 : 1)..<columns).fill(0)
    }
  }

  /// Multiplies row n by exp(exponents[n]), or each by the only one.
  func scaleRows(_ exponents: [Double]) {
    let factors = exponents.map { Float(exponential($0)) }
    for row in 0..<rows {
      let factor = factors[factors.count == 1 ? 0 : row]
      // Safe: places of this view.
      for column in 0..<columns { base[row * stride + column] *= factor }
    }
  }

  /// A copy of it, so scaled.
  func scaled(_ exponents: [Double], in room: Arena) -> Matrix {
    let result = room.matrix(rows: rows, columns: columns)
    result.copy(from: self)
    result.scaleRows(exponents)
    return result
  }

  /// Takes pending decays below the bound into a stored state; what is then pending.
  fileprivate func fold(_ pending: [Double]) -> [Double] {
    guard pending.contains(where: { $0 < -16 }) else { return pending }
    scaleRows(pending.map { $0 < -16 ? $0 : 0 })
    return pending.map { $0 < -16 ? 0 : $0 }
  }
}
