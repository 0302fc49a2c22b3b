import CMeanderKernels

// The linear recurrence in chunks of Q tokens: what trains. Per head, with c[t] the pending decay and all decays up to token t,
// and hats for what is scaled to the stored state, q̂ = exp(c)·q, r̂ = exp(c)·removal, k̂ = exp(-c)·k, p̂ = exp(-c)·replacement,
// what is read stands in one matrix, what is written in another, and a token's R slices in rows one after the other:
//
//     A = [q̂; r̂]     K = [k̂]          W = [V + strength ∘ D]     where the replacement is k times a strength
//                    K = [k̂; p̂]      W = [V; D]                 where it is its own
//     S = A·Kᵀ, lower in each block: strictly for r̂, and for q̂ where q reads first
//     D = r̂·G + S_r·W                                            what the removals find: row after row
//     y = q̂·G + S_q·W,     G' = G + Kᵀ·W
//
// which is the WY form of the delta rule (Yang and others 2024) with decays inside: its triangular solve runs in registers, some
// rows by some columns at a time. Without removals A is q̂, and W is V. A chunk ends early where exp(-c) would grow past e^40, and
// a token that decays by more is a chunk of its own, whose decay is multiplied in before: q̂ and its like are unscaled there.
// Back, with H = exp(c[Q])·dS' the gradient of G', F = [dy; E] that of what A reads:
//
//     dW  = S_qᵀ·dy + K·H + S_rᵀ·E, where E is dD, or strength ∘ dW: row after row from the last
//     dS  = F·Wᵀ, lower as S               d(strength) = ⟨D, dW⟩ of each row,     dV = dW of the first block
//     dA  = F·Gᵀ + dS·K      dK = dSᵀ·A + W·Hᵀ      dG = H + Aᵀ·F
//     dc  = A·dA - K·dK per row (at the token before for q that reads first), without H's part in dK
//     d(decay[t]) = Σ_{i ≥ t} dc[i] + ΣH·G + Σ_{i < t} H·(K[i] ⊗ W[i])
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
  package var isEmpty: Bool { heads.isEmpty }

  package init() {}
}

extension LinearInputs {
  /// Tokens between two stored boundaries, from each of which the way back goes over a chunk.
  var chunk: Int { max(1, 32 / rank) }
  /// Q on the way forth, where chunks are short: what is done inside one grows with its length, and all it needs of the state's panel
  /// stays in the nearest cache.
  var span: Int { max(1, 16 / rank) }
  /// Tokens that one call takes, chunk after chunk, where nothing is stored between them: more where a token has but one decay to keep.
  var run: Int { (decays == 1 ? 32 : 8) * span }
  /// What c stays above inside a chunk.
  static let lowest = -40.0

  /// c before the token `first` and after each of up to `limit` from there on, as many as keep it above the bound, at least one;
  /// their number. sums: (limit + 1) × decays, the first row given.
  func gather(from first: Int, limit: Int, head: Int, into sums: Doubles) -> Int {
    precondition(first + limit <= tokens && sums.count == (limit + 1) * decays, "decays of mismatched shapes")
    // Safe: the shapes were checked; a row holds `decays` numbers for each head.
    var row = decay.base + first * decay.stride + head * decays
    var sum = sums.base
    let (count, stride) = (decays, decay.stride)
    for token in 0..<limit {
      var isLow = false
      for index in 0..<count {
        sum[count + index] = sum[index] + Double(row[index])
        isLow = isLow || sum[count + index] < Self.lowest
      }
      if isLow { return max(token, 1) }
      row += stride
      sum += count
    }
    return limit
  }

  /// Bytes that a head's chunk takes, and its way back: some forty arrays of Q·R rows, of N, P or 2·Q·R columns, and seven of N × P.
  var chunkByteCount: Int {
    let rows = Self.padded(chunk * rank) + 1
    let widest = max(Self.padded(stateSize), Self.padded(headWidth, to: 32), 2 * rows)
    return 44 * Arena.byteCount(rows: rows, columns: widest)
      + 7 * Arena.byteCount(rows: Self.padded(stateSize), columns: Self.padded(headWidth, to: 32))
  }

  /// The next multiple, up to which kernels go over rows and columns.
  static func padded(_ count: Int, to multiple: Int = 16) -> Int { (count + multiple - 1) / multiple * multiple }

  /// The columns of k and q that a head reads.
  func group(_ head: Int) -> Range<Int> {
    let (group, width) = (head / (heads / groups), rank * stateSize)
    return group * width..<(group + 1) * width
  }

  /// The columns of v and y that are a head's.
  func columns(_ head: Int) -> Range<Int> { head * rank * headWidth..<(head + 1) * rank * headWidth }
}

/// One head over one chunk, or over a run of them on the way forth: everything scaled to the stored state. What it holds is found when
/// it runs, and is that of the last chunk.
struct LinearChunk {
  let inputs: LinearInputs
  let head: Int
  let tokens: Range<Int>
  /// Tokens of a chunk.
  private let span: Int
  /// Rows of a block: the tokens' slices, and zeros behind them.
  let rows: Int
  /// A and K, blocks of rows × N.
  let reads, writes: Matrix
  /// W, blocks of rows × P.
  let values: Matrix
  /// S: rows of A × rows of K.
  let scores: Matrix
  /// D, rows × P; found where there are no outputs.
  let found: Matrix?
  /// rows × 1
  let strengths: Matrix?
  /// exp(c) and exp(-c) before the first token and after each: (Q + 1) × decays.
  let shrink, grow: Matrix
  private let sums: Doubles
  /// c after the last token.
  let pending: [Double]
  /// Of a token that decays by more than a chunk can: the sum that is to be multiplied in before it.
  let isolated: [Double]?
  let room: Arena

  /// Up to `limit` tokens from `first` on, `span` to a chunk. `room`: where everything of the chunk stands.
  init(_ inputs: LinearInputs, head: Int, from first: Int, limit: Int, span: Int, pending: [Double], room: Arena) {
    (self.inputs, self.head, self.span, self.room) = (inputs, head, span, room)
    let (size, width, decays) = (inputs.stateSize, inputs.headWidth, inputs.decays)
    sums = room.doubles((limit + 1) * decays)
    for index in 0..<decays { sums[index] = pending[index] }
    let count = inputs.gather(from: first, limit: limit, head: head, into: sums)
    tokens = first..<first + count
    var after: [Double] = []
    for index in 0..<decays { after.append(sums[count * decays + index]) }
    isolated = count == 1 && after.contains { $0 < LinearInputs.lowest } ? after : nil
    if isolated != nil { sums.fill(0) }
    self.pending = isolated == nil ? after : [Double](repeating: 0, count: decays)

    let rows = LinearInputs.padded(min(count, span) * inputs.rank)
    self.rows = rows
    let (readBlocks, writeBlocks) = (inputs.removal == nil ? 1 : 2, inputs.replacement == nil ? 1 : 2)
    func blocks(_ count: Int, _ columns: Int, to multiple: Int = 16) -> Matrix {
      room.matrix(rows: count * rows, columns: LinearInputs.padded(columns, to: multiple)).columns(0..<columns)
    }
    reads = blocks(readBlocks, size)
    writes = blocks(writeBlocks, size)
    values = blocks(writeBlocks, width, to: 32)
    found = inputs.removal == nil ? nil : blocks(1, width, to: 32)
    scores = room.matrix(rows: readBlocks * rows, columns: writeBlocks * rows)
    strengths = inputs.strength == nil ? nil : room.matrix(rows: rows, columns: 1)
    shrink = room.matrix(rows: count + 1, columns: decays)
    grow = room.matrix(rows: count + 1, columns: decays)
  }

  /// R
  var rank: Int { inputs.rank }
  var readsBefore: Bool { inputs.readsBefore }
  /// Rows of A or K: of q̂ or k̂, and of r̂ or p̂.
  func block(_ index: Int) -> Range<Int> { index * rows..<(index + 1) * rows }
  var removes: Bool { reads.rows > rows }
  var writeBlocks: Int { writes.rows / rows }
  /// The block of W that the removals write into.
  var solved: Range<Int> { block(writeBlocks - 1) }

  /// Finds A, K, S and W of a chunk from the state before it; D as well, or, with y, Q × (R·P), the outputs, and then the state moves on.
  /// `ahead`: how many tokens are to be read next.
  func run(_ state: LinearPanels, into y: Matrix? = nil, ahead: Int = 0, _ kernels: Kernels) {
    let (size, width) = (inputs.stateSize, inputs.headWidth)
    precondition(
      state.rows == reads.stride && state.matrix.rows * LinearPanels.width == state.rows * values.stride
        && (y?.rows ?? tokens.count) == tokens.count && (y?.columns ?? rank * width) == rank * width
        && tokens.upperBound + ahead <= inputs.tokens
        && (y != nil || tokens.count <= span),
      "a chunk of mismatched shapes")
    let mark = room.mark()
    let turned = room.matrix(rows: reads.stride, columns: writes.rows)
    let keys = inputs.group(head).lowerBound
    let group = head / (inputs.heads / inputs.groups)
    func start(_ matrix: Matrix, _ column: Int) -> UnsafePointer<Float> {
      // Safe: the shapes of the inputs were checked; this is the chunk's first row, and the head's or its group's first column.
      UnsafePointer(matrix.base + tokens.lowerBound * matrix.stride + column)
    }
    let (q, k, v) = (start(inputs.q, keys), start(inputs.k, keys), start(inputs.v, inputs.columns(head).lowerBound))
    let removal = inputs.removal.map { start($0, keys) }
    let replacement = inputs.replacement.map { start($0, keys) }
    let strength = inputs.strength.map { start($0, group) }
    // Safe: every array was made for these blocks; the state and the outputs were checked above.
    var job = meander_linear_chunk(
      q: q, q_stride: inputs.q.stride, k: k, k_stride: inputs.k.stride, removal: removal,
      removal_stride: inputs.removal?.stride ?? 0, replacement: replacement,
      replacement_stride: inputs.replacement?.stride ?? 0, strength: strength, strength_stride: inputs.strength?.stride ?? 0,
      v: v, v_stride: inputs.v.stride, sums: sums.base, shrink: shrink.base, grow: grow.base, reads: reads.base,
      writes: writes.base, strengths: strengths?.base, scores: scores.base, values: values.base,
      found: y == nil ? found?.base : nil, state: state.matrix.base, y: y?.base, y_stride: y?.stride ?? 0, turned: turned.base,
      tokens: tokens.count, ahead: ahead, span: span, rank: rank, rows: rows, stride: reads.stride,
      value_stride: values.stride, state_size: size, head_width: width, decays: inputs.decays, reads_before: readsBefore,
      moves: y != nil)
    kernels.training.linear_chunk(&job)
    room.release(to: mark)
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
    team.withRoom(byteCount: inputs.chunkByteCount) { room in
      scan(inputs, state: state, pending: pending, total: total, boundaries: boundaries, into: y, room)
    }
  }

  private func scan(
    _ inputs: LinearInputs, state: Matrix, pending: Doubles, total: Doubles, boundaries: LinearBoundaries?, into y: Matrix,
    _ room: Arena
  ) {
    let (size, width, decays) = (inputs.stateSize, inputs.headWidth, inputs.decays)
    let panels = LinearPanels(size: size, width: width, in: room)
    let mark = room.mark()
    boundaries?.heads = []
    for head in 0..<inputs.heads {
      let own = state.rows(head * size..<(head + 1) * size)
      panels.take(own)
      var left = (0..<decays).map { pending[head * decays + $0] }
      var chunks: [LinearBoundaries.Chunk] = []
      var first = 0
      while first < inputs.tokens {
        room.release(to: mark)
        let chunk = LinearChunk(
          inputs, head: head, from: first, limit: min(boundaries == nil ? inputs.run : inputs.chunk, inputs.tokens - first),
          span: inputs.span, pending: left, room: room)
        if boundaries != nil {
          let copy = Matrix(rows: size, columns: width)
          panels.give(copy)
          chunks.append(LinearBoundaries.Chunk(tokens: chunk.tokens, pending: left, state: copy))
        }
        inputs.add(chunk.tokens, head: head, to: total)
        let out = y.rows(chunk.tokens).columns(inputs.columns(head))
        first = chunk.tokens.upperBound
        // Where the token is alone and reads first, it reads the state before its decay.
        var apart: Matrix?
        if chunk.isolated != nil, inputs.readsBefore {
          panels.give(own)
          apart = own.scaled(left, in: room)
        }
        if let isolated = chunk.isolated { panels.scaleRows(isolated) }
        chunk.run(panels, into: out, ahead: min(inputs.span, inputs.tokens - first), self)
        if let apart {
          for slice in 0..<inputs.rank {
            let columns = slice * width..<(slice + 1) * width
            multiply(chunk.reads.rows(slice..<slice + 1).plain, apart.plain, into: out.columns(columns))
          }
        }
        left = panels.fold(chunk.pending)
      }
      panels.give(own)
      for index in left.indices { pending[head * decays + index] = left[index] }
      boundaries?.heads.append(chunks)
    }
  }

  /// x = (1 - lowerᵀ)⁻¹·x for a strictly lower matrix. O(rows² · columns).
  func unitSolve(_ lower: Matrix, _ x: Matrix) {
    precondition(lower.rows == lower.columns && lower.rows == x.rows, "a system of mismatched shapes")
    // Safe: the shapes were checked above.
    var job = meander_unit_solve(
      lower: lower.base, lower_stride: lower.stride, x: x.base, x_stride: x.stride, rows: x.rows, columns: x.columns)
    training.unit_solve(&job)
  }
}

extension LinearInputs {
  /// Adds the decays of a head's tokens to the log-decay since the start.
  fileprivate func add(_ tokens: Range<Int>, head: Int, to total: Doubles) {
    // Safe: a row holds `decays` numbers for each head, and so does `total`.
    var row = decay.base + tokens.lowerBound * decay.stride + head * decays
    let (sum, count, stride) = (total.base + head * decays, decays, decay.stride)
    for _ in tokens {
      for index in 0..<count { sum[index] += Double(row[index]) }
      row += stride
    }
  }
}

extension Matrix {
  /// Multiplies row n by exp(exponents[n]), or each by the only one.
  func scaleRows(_ exponents: [Double]) {
    let factors = exponents.map { Float(exponential($0)) }
    let count = columns
    for index in 0..<rows {
      let factor = factors[factors.count == 1 ? 0 : index]
      // Safe: places of this view, which a loop that looks nothing up goes over in vectors.
      let row = base + index * stride
      for column in 0..<count { row[column] *= factor }
    }
  }

  /// A copy of it, so scaled.
  func scaled(_ exponents: [Double], in room: Arena) -> Matrix {
    let result = room.matrix(rows: rows, columns: columns)
    result.copy(from: self)
    result.scaleRows(exponents)
    return result
  }
}
