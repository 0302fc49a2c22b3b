import MeanderKernels

/// Everything that some tokens see, in rows: slots for the global tokens, then positions from a multiple of 16 on.
private struct VisibleRows {
  let columns: AttentionColumns
  /// columns × KV·P
  let keys: Matrix
  let values: Matrix
  /// Global slots × KV·P, before turning; where distances are turned and capped.
  let farKeys: Matrix?
  /// The positions that the cache had, and their rows.
  let past: [(position: Int64, row: Int)]
}

extension Operations {
  /// Attention by products of whole matrices, over the cache as it was and the run's own rows; with a tape the way back.
  func chunkAttention(
    _ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule, into y: Matrix,
    _ biasGradient: ((Gradients, Matrix) -> Void)?
  ) {
    guard operands.k.rows > 0 else { return }
    let visible = gather(operands, cache, rule)
    cache.append(operands.k, plain: operands.plainK, operands.v, from: operands.position, globals: rule.globals)
    let run = AttentionRun(operands: operands, rule: rule, headWidth: cache.headWidth, keyHeads: cache.keyHeads, y: y)
    if repeats > 1 { tape?.block("a power of a stretch through attention") }
    forEachBlock(run, visible) { block in
      kernels.multiply(block.weights.plain, block.values.plain, into: block.y)
      block.addPrefix(kernels)
    }
    guard let tape else { return }
    let (operations, gradients, clock) = (self, tape.gradients, clock)
    tape.record { clock.measure(.attention) { operations.backward(run, visible, cache, gradients, biasGradient) } }
  }

  /// The rows that T tokens from `position` on see, before they join the cache.
  private func gather(_ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule) -> VisibleRows {
    let last = operands.position + Int64(operands.k.rows) - 1
    let columns = AttentionColumns(rule, first: operands.position + Int64(operands.silent), last: last)
    func rows(_ count: Int) -> Matrix {
      let matrix = tape == nil
        ? Matrix(rows: count, columns: operands.k.columns) : arena.matrix(rows: count, columns: operands.k.columns)
      matrix.fill(0)
      return matrix
    }
    let (keys, values) = (rows(columns.total), rows(columns.total))
    let farKeys = cache.farKeys.map { _ in rows(columns.globalSlots) }
    let globals = min(Int64(rule.globals), operands.position)
    let held = max(Int64(rule.globals), columns.base, operands.position - Int64(cache.ring))
    let positions = Array(0..<globals) + (held < operands.position ? Array(held..<operands.position) : [])
    let past = positions.compactMap { p in columns.column(p, globals: rule.globals).map { (position: p, row: $0) } }
    for (position, row) in past {
      let slot = cache.slot(position, globals: rule.globals)
      cache.read(slot, key: keys.rows(row..<row + 1), value: values.rows(row..<row + 1))
      if let farKeys, position < Int64(rule.globals) {
        cache.read(slot, plain: true, key: farKeys.rows(row..<row + 1), value: nil)
      }
    }
    for token in 0..<operands.k.rows {
      let position = operands.position + Int64(token)
      guard let row = columns.column(position, globals: rule.globals) else { continue }
      keys.rows(row..<row + 1).copy(from: operands.k.rows(token..<token + 1))
      values.rows(row..<row + 1).copy(from: operands.v.rows(token..<token + 1))
      if let farKeys, position < Int64(rule.globals) {
        farKeys.rows(row..<row + 1).copy(from: operands.plainK.rows(token..<token + 1))
      }
    }
    return VisibleRows(columns: columns, keys: keys, values: values, farKeys: farKeys, past: past)
  }

  /// Calls `body` for every head and block of queries, with their weights of what the block's last one sees.
  private func forEachBlock(_ run: AttentionRun, _ visible: VisibleRows, _ body: (AttentionBlock) -> Void) {
    let (total, size) = (visible.columns.total, 128)
    let outputs = run.operands.q.rows
    // Weights, scores and gradients of weights; then far scores, and three numbers a row.
    let scratch = kernels.scratch(rows: size, columns: 3 * total + visible.columns.globalSlots)
    let numbers = Matrix(rows: 2, columns: size)
    for head in 0..<run.heads {
      for start in stride(from: 0, to: outputs, by: size) {
        let rows = start..<min(outputs, start + size)
        let space = scratch.rows(0..<rows.count)
        let columns = visible.columns.upTo(run.operands.position + Int64(run.operands.silent + rows.upperBound - 1))
        func part(_ index: Int) -> Matrix { space.columns(index * total..<index * total + columns.total) }
        let block = AttentionBlock(
          run: run, visible: visible, columns: columns, head: head, rows: rows, weights: part(0), raw: part(1), dweights: part(2),
          far: space.columns(3 * total..<3 * total + visible.columns.globalSlots),
          lifts: numbers.rows(0..<1).columns(0..<rows.count), along: numbers.rows(1..<2).columns(0..<rows.count))
        block.fillWeights(kernels)
        body(block)
      }
    }
  }

  private func backward(
    _ run: AttentionRun, _ visible: VisibleRows, _ cache: AttentionCache, _ gradients: Gradients,
    _ biasGradient: ((Gradients, Matrix) -> Void)?
  ) {
    let (operands, rule) = (run.operands, run.rule)
    func zeros(_ like: Matrix) -> Matrix { Matrix(rows: like.rows, columns: like.columns) }
    let (dkeys, dvalues, dfarKeys) = (zeros(visible.keys), zeros(visible.values), visible.farKeys.map(zeros))
    let dbias = biasGradient == nil ? nil : rule.bias.map(zeros)
    let (dy, dq, dfarQ) = (gradients.of(run.y), gradients.of(operands.q), operands.farQ.map(gradients.of))
    forEachBlock(run, visible) { block in
      let own = dy.rows(block.rows).columns(block.own)
      for row in 0..<block.rows.count {
        block.along[0, row] = Float(kernels.dot(own.rows(row..<row + 1), block.y.rows(row..<row + 1)))
      }
      kernels.multiply(block.weights.turned, own.plain, into: block.seen(dvalues), adding: true)
      kernels.multiply(own.plain, block.values.turned, into: block.dweights)
      kernels.attentionWeightsBackward(
        block.weights, raw: block.raw, block.attentionRows, lifts: block.lifts, along: block.along,
        dweights: block.dweights, dbias: dbias?.rows(block.head..<block.head + 1))
      if let farKeys = visible.farKeys, let farQ = operands.farQ, let dfarQ, let dfarKeys {
        block.takeFar(from: block.dweights)
        let query = farQ.rows(block.rows).columns(block.own)
        kernels.multiply(
          block.far.plain, farKeys.columns(block.keyPlace).plain, into: dfarQ.rows(block.rows).columns(block.own),
          adding: true)
        kernels.multiply(block.far.turned, query.plain, into: dfarKeys.columns(block.keyPlace), adding: true)
      }
      kernels.multiply(block.dweights.plain, block.keys.plain, into: dq.rows(block.rows).columns(block.own), adding: true)
      kernels.multiply(block.dweights.turned, block.queries.plain, into: block.seen(dkeys), adding: true)
      if let prefix = operands.prefix {
        let (dprefix, dweights) = (gradients.of(prefix.values), gradients.of(prefix.weights))
        for (place, row) in block.rows.enumerated() {
          let lift = block.lifts[0, place]
          kernels.add(own.rows(place..<place + 1), scale: lift, to: dprefix.rows(row..<row + 1).columns(block.own))
          dweights[row, block.head] -= lift * block.along[0, place]
        }
      }
    }
    if let dbias { biasGradient?(gradients, dbias) }
    settle(run, visible, cache, gradients, (dkeys, dvalues, dfarKeys))
  }

  /// Hands the gradients of keys and values on: to the run's own rows, and to the cache as it was before them.
  private func settle(
    _ run: AttentionRun, _ visible: VisibleRows, _ cache: AttentionCache, _ gradients: Gradients,
    _ found: (keys: Matrix, values: Matrix, farKeys: Matrix?)
  ) {
    let (operands, rule) = (run.operands, run.rule)
    let twin = cache.twin(gradients.of, rule: rule)
    let count = operands.k.rows
    let (key, value) = (Matrix(rows: 1, columns: operands.k.columns), Matrix(rows: 1, columns: operands.k.columns))
    let nothing = Matrix(rows: 1, columns: operands.k.columns)
    for token in 0..<count {
      let position = operands.position + Int64(token)
      let own = token..<token + 1
      let isGlobal = position < Int64(rule.globals)
      // What later runs asked of the slot, if the token still had it at the end of this one.
      if isGlobal || count - token <= cache.ring {
        let slot = cache.slot(position, globals: rule.globals)
        twin.read(slot, key: key, value: value)
        kernels.add(key, to: gradients.of(operands.k).rows(own))
        kernels.add(value, to: gradients.of(operands.v).rows(own))
        twin.write(slot, key: nothing, value: nothing)
        if isGlobal, twin.farKeys != nil {
          twin.read(slot, plain: true, key: key, value: nil)
          kernels.add(key, to: gradients.of(operands.plainK).rows(own))
          twin.write(slot, plain: true, key: nothing, value: nil)
        }
      }
      guard let row = visible.columns.column(position, globals: rule.globals) else { continue }
      kernels.add(found.keys.rows(row..<row + 1), to: gradients.of(operands.k).rows(own))
      kernels.add(found.values.rows(row..<row + 1), to: gradients.of(operands.v).rows(own))
      if isGlobal, let far = found.farKeys {
        kernels.add(far.rows(row..<row + 1), to: gradients.of(operands.plainK).rows(own))
      }
    }
    for (position, row) in visible.past {
      let slot = cache.slot(position, globals: rule.globals)
      twin.read(slot, key: key, value: value)
      kernels.add(found.keys.rows(row..<row + 1), to: key)
      kernels.add(found.values.rows(row..<row + 1), to: value)
      twin.write(slot, key: key, value: value)
      if position < Int64(rule.globals), twin.farKeys != nil, let far = found.farKeys {
        twin.read(slot, plain: true, key: key, value: nil)
        kernels.add(far.rows(row..<row + 1), to: key)
        twin.write(slot, plain: true, key: key, value: nil)
      }
    }
  }
}

/// One call of attention in training.
private struct AttentionRun {
  let operands: AttentionOperands
  let rule: AttentionRule
  let headWidth: Int
  let keyHeads: Int
  let y: Matrix

  var heads: Int { operands.q.columns / headWidth }
}

/// Some queries of one head, and scratch memory for them.
private struct AttentionBlock {
  let run: AttentionRun
  let visible: VisibleRows
  /// Those of the visible columns that the last of the queries sees, and all before them.
  let columns: AttentionColumns
  let head: Int
  let rows: Range<Int>
  /// rows × columns each
  let weights, raw, dweights: Matrix
  /// rows × global slots
  let far: Matrix
  /// 1 × rows
  let lifts, along: Matrix

  var own: Range<Int> { head * run.headWidth..<(head + 1) * run.headWidth }
  var keyPlace: Range<Int> {
    let keyHead = head / (run.heads / run.keyHeads)
    return keyHead * run.headWidth..<(keyHead + 1) * run.headWidth
  }
  var queries: Matrix { run.operands.q.rows(rows).columns(own) }
  var keys: Matrix { seen(visible.keys) }
  var values: Matrix { seen(visible.values) }
  var y: Matrix { run.y.rows(rows).columns(own) }
  var position: Int64 { run.operands.position + Int64(run.operands.silent + rows.lowerBound) }

  /// What the queries see of the head's keys, values or their gradients.
  func seen(_ rows: Matrix) -> Matrix { rows.rows(0..<columns.total).columns(keyPlace) }

  var attentionRows: AttentionRows {
    AttentionRows(
      rule: run.rule, columns: columns, head: head, position: position,
      prefixWeights: run.operands.prefix?.weights.rows(rows).columns(head..<head + 1))
  }

  /// How many columns lie beyond the ceiling of a row.
  private func farCount(_ row: Int) -> Int {
    Int(min(Int64(visible.columns.globalSlots), max(0, position + Int64(row) - Int64(run.rule.ceiling))))
  }

  func fillWeights(_ kernels: Kernels) {
    kernels.multiply(queries.plain, keys.turned, into: weights)
    if let farKeys = visible.farKeys, let farQ = run.operands.farQ {
      kernels.multiply(farQ.rows(rows).columns(own).plain, farKeys.columns(keyPlace).turned, into: far)
      for row in 0..<rows.count {
        let count = farCount(row)
        weights.rows(row..<row + 1).columns(0..<count).copy(from: far.rows(row..<row + 1).columns(0..<count))
      }
    }
    if run.rule.softplus != nil { raw.copy(from: weights) }
    kernels.attentionWeights(weights, attentionRows, lifts: lifts)
  }

  /// Moves the gradients of what lies beyond the ceiling to `far`.
  func takeFar(from dweights: Matrix) {
    far.fill(0)
    for row in 0..<rows.count {
      let part = dweights.rows(row..<row + 1).columns(0..<farCount(row))
      far.rows(row..<row + 1).columns(0..<farCount(row)).copy(from: part)
      part.fill(0)
    }
  }

  func addPrefix(_ kernels: Kernels) {
    guard let prefix = run.operands.prefix else { return }
    for (place, row) in rows.enumerated() {
      kernels.add(
        prefix.values.rows(row..<row + 1).columns(own), scale: lifts[0, place], to: y.rows(place..<place + 1))
    }
  }
}
