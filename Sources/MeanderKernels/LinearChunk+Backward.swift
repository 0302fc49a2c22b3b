import CMeanderKernels

/// Where the gradients of what a linear recurrence reads are added; each in the shape of its own.
package struct LinearGradients {
  package let q, k, v, decay: Matrix
  package let removal, replacement: Matrix?

  package init(q: Matrix, k: Matrix, v: Matrix, decay: Matrix, removal: Matrix?, replacement: Matrix?) {
    (self.q, self.k, self.v, self.decay) = (q, k, v, decay)
    (self.removal, self.replacement) = (removal, replacement)
  }
}

extension Kernels {
  /// Back through `linearChunkScan`, chunk by chunk from the last; see the head of LinearChunk.swift.
  ///
  /// - Parameters:
  ///   - dy: T × (H·P)
  ///   - dstate: the gradient of the true state after the last token, and on return before the first.
  package func linearChunkScanBackward(
    _ inputs: LinearInputs, boundaries: LinearBoundaries, dy: Matrix, dstate: Matrix, gradients: LinearGradients
  ) {
    precondition(
      boundaries.heads.count == inputs.heads && dy.rows == inputs.tokens && dy.columns == inputs.v.columns
        && dstate.rows == inputs.heads * inputs.stateSize && dstate.columns == inputs.headWidth,
      "a linear recurrence of mismatched shapes")
    let (size, width) = (inputs.stateSize, inputs.headWidth)
    let room = Arena(byteCount: inputs.chunkByteCount)
    for (head, chunks) in boundaries.heads.enumerated() {
      let own = dstate.rows(head * size..<(head + 1) * size)
      let columns = head * width..<(head + 1) * width
      for boundary in chunks.reversed() {
        room.reset()
        let isolated = inputs.isolatedDecay(boundary.tokens, head: head, pending: boundary.pending)
        let before = isolated.map { boundary.state.scaled($0, in: room) } ?? boundary.state
        let chunk = LinearChunk(
          inputs, head: head, tokens: boundary.tokens, pending: isolated == nil ? boundary.pending : nil, state: before,
          room: room, kernels: self)
        own.scaleRows(chunk.pending)
        // Where the token is alone and reads first, it reads the state before its decay.
        let readsApart = isolated != nil && inputs.readsBefore
        let read = readsApart ? boundary.state.scaled(boundary.pending, in: room) : before
        let dread = readsApart ? room.zeros(rows: size, columns: width) : own
        let back = LinearChunkBackward(
          chunk, before: before, read: read, dy: dy.rows(boundary.tokens).columns(columns), dafter: own, dread: dread,
          kernels: self)
        let group = inputs.group(head)
        func add(_ part: Matrix, scaled scale: Matrix, to whole: Matrix) {
          multiply(scale, into: part)
          self.add(part, to: whole.rows(boundary.tokens).columns(group))
        }
        let ddecay = gradients.decay.rows(boundary.tokens).columns(head * inputs.decays..<(head + 1) * inputs.decays)
        if isolated == nil {
          back.addDecays(to: ddecay)
        } else {
          for n in 0..<size { ddecay[0, inputs.decays == 1 ? 0 : n] += Float(dot(own.rows(n..<n + 1), before.rows(n..<n + 1))) }
        }
        back.addOwn(dy.rows(boundary.tokens).columns(columns))
        add(back.dq, scaled: chunk.readShrink, to: gradients.q)
        add(back.dk, scaled: chunk.grow, to: gradients.k)
        if let part = back.dremoval, let whole = gradients.removal { add(part, scaled: chunk.shrink, to: whole) }
        if let part = back.dreplacement, let whole = gradients.replacement { add(part, scaled: chunk.grow, to: whole) }
        self.add(back.dv, to: gradients.v.rows(boundary.tokens).columns(columns))
        if isolated == nil {
          own.scaleRows(boundary.pending.map { -$0 })
        } else {
          own.scaleRows((0..<inputs.decays).map { inputs.decay(of: head, at: boundary.tokens.lowerBound, $0) })
          if readsApart { self.add(dread, to: own) }
        }
      }
    }
  }
}

/// The gradients of one head over one chunk, still scaled to the stored state.
private struct LinearChunkBackward {
  let chunk: LinearChunk
  let kernels: Kernels
  let dq, dk, dv: Matrix
  var dremoval: Matrix?
  var dreplacement: Matrix?
  /// ΣH·G of each key.
  private let kept: Matrix
  /// V·Hᵀ and D·Hᵀ, the parts of H in the gradients of k and replacement, which join them in the end: Q × N.
  private let heldKey: Matrix
  private var heldReplacement: Matrix?

  /// `read` is what q reads, and takes its gradient in `dread`; `dafter`: H, and on return dG.
  init(_ chunk: LinearChunk, before: Matrix, read: Matrix, dy: Matrix, dafter: Matrix, dread: Matrix, kernels: Kernels) {
    (self.chunk, self.kernels) = (chunk, kernels)
    let (count, size, width, room) = (chunk.q.rows, chunk.q.columns, chunk.v.columns, chunk.room)
    kept = room.matrix(rows: 1, columns: size)
    for n in 0..<size { kept[0, n] = Float(kernels.dot(dafter.rows(n..<n + 1), before.rows(n..<n + 1))) }
    func product(_ a: Operand, _ b: Operand, _ y: Matrix) { kernels.multiply(a, b, into: y, adding: true) }
    func held(_ value: Matrix) -> Matrix {
      let result = room.matrix(rows: count, columns: size)
      kernels.multiply(value.plain, dafter.turned, into: result)
      return result
    }
    heldKey = held(chunk.v)
    heldReplacement = chunk.found.map(held)
    (dq, dk) = (room.zeros(rows: count, columns: size), room.zeros(rows: count, columns: size))
    dv = room.zeros(rows: count, columns: width)

    product(dy.plain, read.turned, dq)
    let dreads = chunk.lower(dy, chunk.v, strictly: true, kernels)
    product(dreads.plain, chunk.k.plain, dq)
    product(dreads.turned, chunk.q.plain, dk)
    product(chunk.lower(chunk.q, chunk.k, strictly: chunk.readsBefore, kernels).turned, dy.plain, dv)
    product(chunk.k.plain, dafter.plain, dv)

    guard let removal = chunk.removal, let replacement = chunk.replacement, let found = chunk.found else {
      product(chunk.q.turned, dy.plain, dread)
      return
    }
    let (dr, dp) = (room.zeros(rows: count, columns: size), room.zeros(rows: count, columns: size))
    (dremoval, dreplacement) = (dr, dp)
    let drereads = chunk.lower(dy, found, strictly: true, kernels)
    product(drereads.plain, replacement.plain, dq)
    product(drereads.turned, chunk.q.plain, dp)
    // E
    let dfound = room.zeros(rows: count, columns: width)
    product(chunk.lower(chunk.q, replacement, strictly: chunk.readsBefore, kernels).turned, dy.plain, dfound)
    product(replacement.plain, dafter.plain, dfound)
    kernels.unitSolve(chunk.lower(removal, replacement, strictly: true, kernels), dfound, transposed: true)
    product(chunk.q.turned, dy.plain, dread)
    product(removal.turned, dfound.plain, dafter)
    product(dfound.plain, before.turned, dr)
    let dsolved = chunk.lower(dfound, found, strictly: true, kernels)
    product(dsolved.plain, replacement.plain, dr)
    product(dsolved.turned, removal.plain, dp)
    let dwritten = chunk.lower(dfound, chunk.v, strictly: true, kernels)
    product(dwritten.plain, chunk.k.plain, dr)
    product(dwritten.turned, removal.plain, dk)
    product(chunk.lower(removal, chunk.k, strictly: true, kernels).turned, dfound.plain, dv)
  }

  /// Adds to the gradients what has no part in those of the log-decays: of q, k and replacement what a token reads of what it
  /// wrote itself, of k and replacement what the state after the chunk reads.
  func addOwn(_ dy: Matrix) {
    kernels.add(heldKey, to: dk)
    if let heldReplacement, let dreplacement { kernels.add(heldReplacement, to: dreplacement) }
    if chunk.readsBefore { return }
    func add(_ written: Matrix, _ value: Matrix, to dwritten: Matrix) {
      let weights = chunk.room.matrix(rows: dy.rows, columns: 1)
      kernels.headDot(dy, value, into: weights)
      kernels.headScale(written, by: weights, into: dq, adding: true)
      kernels.headScale(chunk.q, by: weights, into: dwritten, adding: true)
    }
    add(chunk.k, chunk.v, to: dk)
    if let replacement = chunk.replacement, let dreplacement, let found = chunk.found {
      add(replacement, found, to: dreplacement)
    }
  }

  /// Adds the gradients of the log-decays, Q × N or Q × 1. To be called before `addOwn`, and before the others are scaled back.
  func addDecays(to ddecay: Matrix) {
    let (count, room) = (chunk.q.rows, chunk.room)
    // Rows of dc, the first for what is before the chunk, which no decay of it moves.
    let sums = room.zeros(rows: count + 1, columns: chunk.q.columns)
    let product = room.matrix(rows: count, columns: chunk.q.columns)
    func gather(_ value: Matrix, _ gradient: Matrix, sign: Float, from row: Int) {
      product.copy(from: value)
      kernels.multiply(gradient, into: product)
      kernels.add(product, scale: sign, to: sums.rows(row..<row + count))
    }
    gather(chunk.q, dq, sign: 1, from: chunk.readsBefore ? 0 : 1)
    gather(chunk.k, dk, sign: -1, from: 1)
    if let removal = chunk.removal, let dremoval { gather(removal, dremoval, sign: 1, from: 1) }
    if let replacement = chunk.replacement, let dreplacement { gather(replacement, dreplacement, sign: -1, from: 1) }
    for token in (1..<count).reversed() { kernels.add(sums.rows(token + 1..<token + 2), to: sums.rows(token..<token + 1)) }
    // What H reads of what was there before each token, from the first on.
    let ends = room.zeros(rows: count + 1, columns: chunk.q.columns)
    func end(_ value: Matrix, _ held: Matrix) {
      product.copy(from: value)
      kernels.multiply(held, into: product)
      kernels.add(product, to: ends.rows(1..<count + 1))
    }
    end(chunk.k, heldKey)
    if let replacement = chunk.replacement, let heldReplacement { end(replacement, heldReplacement) }
    kernels.add(kept, to: ends.rows(0..<1))
    for token in 1..<max(1, count) { kernels.add(ends.rows(token - 1..<token), to: ends.rows(token..<token + 1)) }
    let all = sums.rows(1..<count + 1)
    kernels.add(ends.rows(0..<count), to: all)
    if ddecay.columns == 1 && all.columns > 1 {
      kernels.headDot(all, nil, into: ddecay, adding: true)
    } else {
      kernels.add(all, to: ddecay)
    }
  }
}
