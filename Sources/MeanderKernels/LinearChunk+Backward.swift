import CMeanderKernels

/// Where the gradients of what a linear recurrence reads are added; each in the shape of its own.
package struct LinearGradients {
  package let q, k, v, decay: Matrix
  package let removal, replacement, strength: Matrix?

  package init(
    q: Matrix, k: Matrix, v: Matrix, decay: Matrix, removal: Matrix? = nil, replacement: Matrix? = nil,
    strength: Matrix? = nil
  ) {
    (self.q, self.k, self.v, self.decay) = (q, k, v, decay)
    (self.removal, self.replacement, self.strength) = (removal, replacement, strength)
  }
}

extension Kernels {
  /// Back through `linearChunkScan`, chunk by chunk from the last; see the head of LinearChunk.swift.
  ///
  /// - Parameters:
  ///   - dy: T × (H·R·P)
  ///   - dstate: the gradient of the true state after the last token, and on return before the first.
  package func linearChunkScanBackward(
    _ inputs: LinearInputs, boundaries: LinearBoundaries, dy: Matrix, dstate: Matrix, gradients: LinearGradients
  ) {
    precondition(
      boundaries.heads.count == inputs.heads && dy.rows == inputs.tokens && dy.columns == inputs.v.columns
        && dstate.rows == inputs.heads * inputs.stateSize && dstate.columns == inputs.headWidth,
      "a linear recurrence of mismatched shapes")
    team.withRoom(byteCount: inputs.chunkByteCount) { room in
      goBack(inputs, boundaries: boundaries, dy: dy, dstate: dstate, gradients: gradients, room)
    }
  }

  private func goBack(
    _ inputs: LinearInputs, boundaries: LinearBoundaries, dy: Matrix, dstate: Matrix, gradients: LinearGradients, _ room: Arena
  ) {
    let (size, width, decays) = (inputs.stateSize, inputs.headWidth, inputs.decays)
    for (head, chunks) in boundaries.heads.enumerated() {
      let own = dstate.rows(head * size..<(head + 1) * size)
      for boundary in chunks.reversed() {
        room.reset()
        let chunk = LinearChunk(
          inputs, head: head, from: boundary.tokens.lowerBound, limit: boundary.tokens.count,
          span: boundary.tokens.count, pending: boundary.pending, room: room)
        let before = chunk.isolated.map { boundary.state.scaled($0, in: room) } ?? boundary.state
        let panels = LinearPanels(size: size, width: width, in: room)
        panels.take(before)
        chunk.run(panels, self)
        own.scaleRows(chunk.pending)
        // Where the token is alone and reads first, it reads the state before its decay.
        let readsApart = chunk.isolated != nil && inputs.readsBefore
        let apart = readsApart ? boundary.state.scaled(boundary.pending, in: room) : nil
        let dapart = apart.map { _ in room.zeros(rows: size, columns: width) }
        let back = LinearChunkBackward(
          chunk, before: before, apart: apart, dy: dy.rows(chunk.tokens).columns(inputs.columns(head)), dafter: own,
          dapart: dapart, kernels: self)
        let ddecay = gradients.decay.rows(chunk.tokens).columns(head * decays..<(head + 1) * decays)
        if chunk.isolated == nil {
          back.addDecays(to: ddecay)
        } else {
          let held = room.matrix(rows: size, columns: 1)
          headDot(own, before, into: held)
          for n in 0..<size { ddecay[0, decays == 1 ? 0 : n] += held[n, 0] }
        }
        back.addOwn()
        back.add(to: gradients)
        if chunk.isolated == nil {
          own.scaleRows(boundary.pending.map { -$0 })
        } else {
          let token = chunk.tokens.lowerBound
          own.scaleRows((0..<decays).map { Double(inputs.decay[token, head * decays + $0]) })
          if let dapart { self.add(dapart, to: own) }
        }
      }
    }
  }
}

/// The gradients of one head over one chunk, still scaled to the stored state.
private struct LinearChunkBackward {
  let chunk: LinearChunk
  let kernels: Kernels
  /// F: blocks of rows × P, as A has.
  let outer: Matrix
  let dreads, dwrites, dvalues: Matrix
  /// ΣH·G of each key, 1 × N.
  private let kept: Matrix
  /// W·Hᵀ, the part of H in the gradient of K, which joins it in the end.
  private let held: Matrix

  /// `dafter`: H, and on return dG. `apart` is what q reads, where that is another state, and `dapart` takes its gradient.
  init(
    _ chunk: LinearChunk, before: Matrix, apart: Matrix?, dy: Matrix, dafter: Matrix, dapart: Matrix?, kernels: Kernels
  ) {
    (self.chunk, self.kernels) = (chunk, kernels)
    let (size, width, room) = (chunk.reads.columns, chunk.values.columns, chunk.room)
    let (first, second) = (chunk.block(0), chunk.block(1))
    let (reads, writes, values, scores) = (chunk.reads, chunk.writes, chunk.values, chunk.scores)
    func product(_ a: Operand, _ b: Operand, _ y: Matrix, adding: Bool = true) {
      kernels.multiply(a, b, into: y, adding: adding)
    }
    let sums = room.matrix(rows: size, columns: 1)
    kernels.headDot(dafter, before, into: sums)
    kept = sums.reshaped(columns: size)
    held = room.matrix(rows: writes.rows, columns: size)
    product(values.plain, dafter.turned, held, adding: false)

    outer = room.zeros(rows: reads.rows, columns: width)
    for slice in 0..<chunk.rank {
      outer.rows(0..<chunk.tokens.count * chunk.rank).every(chunk.rank, from: slice).copy(
        from: dy.columns(slice * width..<(slice + 1) * width))
    }
    dvalues = room.matrix(rows: writes.rows, columns: width)
    product(writes.plain, dafter.plain, dvalues, adding: false)
    product(scores.rows(first).turned, outer.rows(first).plain, dvalues)
    if chunk.removes {
      let (found, finds, dsolved) = (outer.rows(second), scores.rows(second), dvalues.rows(chunk.solved))
      let lower = room.matrix(rows: chunk.rows, columns: chunk.rows)
      lower.copy(from: finds.columns(chunk.solved))
      if let strengths = chunk.strengths { kernels.headScale(lower, by: strengths, into: lower) }
      kernels.unitSolve(lower, dsolved)
      if let strengths = chunk.strengths {
        kernels.headScale(dsolved, by: strengths, into: found)
      } else {
        found.copy(from: dsolved)
        product(finds.columns(first).turned, found.plain, dvalues.rows(first))
      }
    }

    dreads = room.matrix(rows: reads.rows, columns: size)
    let dscores = room.matrix(rows: reads.rows, columns: writes.rows)
    dwrites = room.matrix(rows: writes.rows, columns: size)
    product(outer.plain, values.turned, dscores, adding: false)
    dscores.clearLater(in: chunk)
    product(dscores.turned, reads.plain, dwrites, adding: false)
    product(dscores.plain, writes.plain, dreads, adding: false)
    guard let apart, let dapart else {
      product(outer.plain, before.turned, dreads)
      product(reads.turned, outer.plain, dafter)
      return
    }
    product(outer.rows(first).plain, apart.turned, dreads.rows(first))
    product(reads.rows(first).turned, outer.rows(first).plain, dapart)
    if chunk.removes {
      product(outer.rows(second).plain, before.turned, dreads.rows(second))
      product(reads.rows(second).turned, outer.rows(second).plain, dafter)
    }
  }

  /// Adds to the gradients what has no part in those of the log-decays: of q, k and replacement what a token reads of what it
  /// wrote itself, of k and replacement what the state after the chunk reads.
  func addOwn() {
    kernels.add(held, to: dwrites)
    if chunk.readsBefore { return }
    let (dq, q, dy) = (dreads.rows(chunk.block(0)), chunk.reads.rows(chunk.block(0)), outer.rows(chunk.block(0)))
    let weights = chunk.room.matrix(rows: chunk.tokens.count, columns: 1)
    func slice(_ matrix: Matrix, _ index: Int) -> Matrix {
      matrix.rows(0..<chunk.tokens.count * chunk.rank).every(chunk.rank, from: index)
    }
    for block in (0..<chunk.writeBlocks).map(chunk.block) {
      let (written, value, dwritten) = (chunk.writes.rows(block), chunk.values.rows(block), dwrites.rows(block))
      for read in 0..<chunk.rank {
        for write in 0..<chunk.rank {
          kernels.headDot(slice(dy, read), slice(value, write), into: weights)
          kernels.headScale(slice(written, write), by: weights, into: slice(dq, read), adding: true)
          kernels.headScale(slice(q, read), by: weights, into: slice(dwritten, write), adding: true)
        }
      }
    }
  }

  /// Adds everything to where it belongs, scaled back.
  func add(to gradients: LinearGradients) {
    let (inputs, head, count, readsBefore) = (chunk.inputs, chunk.head, chunk.tokens.count, chunk.readsBefore)
    func add(_ part: Matrix, scaled scale: Matrix?, to whole: Matrix) {
      for slice in 0..<chunk.rank {
        let own = part.rows(0..<count * chunk.rank).every(chunk.rank, from: slice)
        let target = whole.columns(slice * part.columns..<(slice + 1) * part.columns)
        if let scale, scale.columns == 1 {
          kernels.headScale(own, by: scale, into: target, adding: true)
        } else {
          if let scale { kernels.multiply(scale, into: own) }
          kernels.add(own, to: target)
        }
      }
    }
    func of(_ matrix: Matrix) -> Matrix { matrix.rows(chunk.tokens).columns(inputs.group(head)) }
    let (shrink, grow) = (chunk.shrink.rows(1..<count + 1), chunk.grow.rows(1..<count + 1))
    let first = chunk.block(0)
    add(dreads.rows(first), scaled: readsBefore ? chunk.shrink.rows(0..<count) : shrink, to: of(gradients.q))
    add(dwrites.rows(first), scaled: grow, to: of(gradients.k))
    add(dvalues.rows(first), scaled: nil, to: gradients.v.rows(chunk.tokens).columns(inputs.columns(head)))
    if let whole = gradients.removal { add(dreads.rows(chunk.block(1)), scaled: shrink, to: of(whole)) }
    if let whole = gradients.replacement { add(dwrites.rows(chunk.block(1)), scaled: grow, to: of(whole)) }
    if let whole = gradients.strength, let found = chunk.found {
      let group = head / (inputs.heads / inputs.groups)
      kernels.headDot(
        found.rows(0..<count), dvalues.rows(0..<count), into: whole.rows(chunk.tokens).columns(group..<group + 1), adding: true)
    }
  }

  /// Adds the gradients of the log-decays, Q × N or Q × 1. To be called before `addOwn`, and before the others are scaled back.
  func addDecays(to ddecay: Matrix) {
    let (count, room, columns, filled) = (chunk.tokens.count, chunk.room, ddecay.columns, 0..<chunk.tokens.count * chunk.rank)
    // Rows of dc, the first for what is before the chunk, which no decay of it moves.
    let sums = room.zeros(rows: count + 1, columns: columns)
    // What H reads of what was there before each token, from the first on.
    let ends = room.zeros(rows: count + 1, columns: columns)
    func gather(_ value: Matrix, _ gradient: Matrix, sign: Float, to sums: Matrix) {
      let product = room.matrix(rows: filled.count, columns: columns)
      if columns == 1 {
        kernels.headDot(value.rows(filled), gradient.rows(filled), into: product)
      } else {
        product.copy(from: value.rows(filled))
        kernels.multiply(gradient.rows(filled), into: product)
      }
      for slice in 0..<chunk.rank { kernels.add(product.every(chunk.rank, from: slice), scale: sign, to: sums) }
    }
    for index in 0..<dreads.rows / chunk.rows {
      let block = chunk.block(index)
      let from = index == 0 && chunk.readsBefore ? 0 : 1
      gather(chunk.reads.rows(block), dreads.rows(block), sign: 1, to: sums.rows(from..<from + count))
    }
    for block in (0..<chunk.writeBlocks).map(chunk.block) {
      gather(chunk.writes.rows(block), dwrites.rows(block), sign: -1, to: sums.rows(1..<count + 1))
      gather(chunk.writes.rows(block), held.rows(block), sign: 1, to: ends.rows(1..<count + 1))
    }
    for token in (1..<count).reversed() { kernels.add(sums.rows(token + 1..<token + 2), to: sums.rows(token..<token + 1)) }
    if columns == 1 {
      kernels.headDot(kept, nil, into: ends.rows(0..<1))
    } else {
      ends.rows(0..<1).copy(from: kept)
    }
    for token in 1..<max(1, count) { kernels.add(ends.rows(token - 1..<token), to: ends.rows(token..<token + 1)) }
    kernels.add(sums.rows(1..<count + 1), to: ddecay)
    kernels.add(ends.rows(0..<count), to: ddecay)
  }
}

extension Matrix {
  /// Zeros where a slice meets those of its own token or of later ones.
  fileprivate func clearLater(in chunk: LinearChunk) {
    // Safe: this view is of whole blocks of the chunk's rows.
    meander_clear_later(base, stride, chunk.rows, chunk.rank, rows / chunk.rows, columns / chunk.rows)
  }
}
