import CMeanderKernels

/// Which positions a token attends to, and what a score becomes.
package struct AttentionRule: Sendable {
  /// How many tokens at the beginning of the stream stay visible for good.
  package var globals: Int
  /// How many of the last tokens are visible, the token itself included.
  package var window: Int
  /// Distances count no further than this; at least `window` - 1.
  package var ceiling: Int
  /// What scores are multiplied with.
  package var scale: Float
  /// What is added to scores by distance: H × (D + 2·margin), see `biasTable`.
  package var bias: Matrix?
  package var softplus: SoftplusRule?

  package init(
    globals: Int, window: Int, ceiling: Int, scale: Float, bias: Matrix? = nil, softplus: SoftplusRule? = nil
  ) {
    (self.globals, self.window, self.ceiling) = (globals, window, ceiling)
    (self.scale, self.bias, self.softplus) = (scale, bias, softplus)
  }

  /// Columns for the global tokens in a row of scores, and slots in a cache: whole panels.
  package var globalSlots: Int { (globals + 15) / 16 * 16 }

  /// The table for biases by distance, one list of D per head: distances fall along a row, between two margins.
  package static func biasTable(_ biases: [[Float]]) -> Matrix {
    let margin = [Float](repeating: 0, count: Int(MEANDER_BIAS_MARGIN))
    return Matrix(
      biases.flatMap { margin + $0.reversed() + margin }, rows: biases.count,
      columns: (biases.first?.count ?? 0) + 2 * margin.count)
  }

  /// How many distances the bias knows.
  package var biasLength: Int { bias.map { $0.columns - 2 * Int(MEANDER_BIAS_MARGIN) } ?? 0 }

  /// Where the bias of a distance stands in its row.
  package static func biasPlace(_ distance: Int, of length: Int) -> Int { Int(MEANDER_BIAS_MARGIN) + length - 1 - distance }

  /// `columns` of the stream's positions from `base` on stand behind the global ones.
  func row(base: Int64 = 0, columns: Int = 0) -> meander_attention_row {
    meander_attention_row(
      first: globalSlots, count: columns, base: base, globals: Int64(globals), window: Int64(window), scale: scale,
      bias: bias.map { UnsafePointer($0.base) }, bias_length: biasLength, ceiling: Int64(ceiling),
      softplus: softplus != nil, log_width: softplus?.logWidth ?? 0, offset: softplus?.offset ?? 0,
      power: Int32(softplus?.power ?? 0))
  }
}

/// Softplus in the place of exp, with lengths scaled and weights sharpened (Gao and others 2025, LSSA and LSSAR).
package struct SoftplusRule: Sendable, Hashable {
  /// ln of the head's width: scores are multiplied with it, and with ln of the number of visible positions N.
  package var logWidth: Float
  /// Weights A become max(N·A - offset, 0)^power, normalised again; a power of 0 leaves them.
  package var offset: Float
  package var power: Int

  package init(logWidth: Float, offset: Float = 1, power: Int = 15) {
    (self.logWidth, self.offset, self.power) = (logWidth, offset, power)
  }
}

/// Keys and values of the tokens that can still be seen: the first ones, and a ring of the last ones.
package struct AttentionCache {
  /// KV · slots / 16 · P rows of 16: panels of 16 keys, as the product of a query reads them.
  package let keys: Matrix
  /// KV · slots × P, P rounded up to 16.
  package let values: Matrix
  /// The global tokens' keys before they were turned, in panels; where positions are turned and capped.
  package let farKeys: Matrix?
  package let keyHeads: Int
  package let headWidth: Int
  /// Slots for global tokens, and for all.
  let globalSlots: Int
  let slots: Int

  package init(keys: Matrix, values: Matrix, farKeys: Matrix?, keyHeads: Int, headWidth: Int, rule: AttentionRule) {
    precondition(
      keys.columns == 16 && keys.rows % (keyHeads * headWidth) == 0 && values.rows % keyHeads == 0
        && values.columns == (headWidth + 15) / 16 * 16 && values.rows * headWidth == keys.rows * 16
        && (farKeys?.rows ?? keyHeads * headWidth * rule.globalSlots / 16) == keyHeads * headWidth * rule.globalSlots / 16,
      "a cache of mismatched shapes")
    (self.keys, self.values, self.farKeys) = (keys, values, farKeys)
    (self.keyHeads, self.headWidth) = (keyHeads, headWidth)
    globalSlots = rule.globalSlots
    slots = values.rows / keyHeads
    precondition((slots - globalSlots) % 16 == 0 && slots > globalSlots, "a ring of \(slots - globalSlots) slots")
  }

  package var ring: Int { slots - globalSlots }

  /// Where a position's key and value stand.
  package func slot(_ position: Int64, globals: Int) -> Int {
    position < Int64(globals) ? Int(position) : globalSlots + Int(position % Int64(ring))
  }

  /// Writes rows of KV · P, those before turning beside the turned ones, for the positions from `position` on. O(T · KV · P).
  package func append(_ turned: Matrix, plain: Matrix, _ newValues: Matrix, from position: Int64, globals: Int) {
    let width = keyHeads * headWidth
    precondition(
      [turned, plain, newValues].allSatisfy { $0.rows == turned.rows && $0.columns == width }, "shapes differ")
    for row in 0..<turned.rows {
      let slot = slot(position + Int64(row), globals: globals)
      for head in 0..<keyHeads {
        let place = head * headWidth
        // Safe: a slot lies inside the head's part of the cache, and a row holds P numbers from `place` on.
        meander_cache_key(keys.base + head * slots * headWidth, slot, headWidth, turned.base + row * turned.stride + place)
        (values.base + (head * slots + slot) * values.columns).update(
          from: newValues.base + row * newValues.stride + place, count: headWidth)
        if let farKeys, slot < globalSlots {
          meander_cache_key(
            farKeys.base + head * globalSlots * headWidth, slot, headWidth, plain.base + row * plain.stride + place)
        }
      }
    }
  }

  /// Reads a slot back into rows of KV · P. The key is that before turning where `plain`.
  package func read(_ slot: Int, plain: Bool = false, key: Matrix, value: Matrix?) {
    visit(slot, plain: plain, key: key, value: value) { keys, row, cached, value in
      // Safe: `visit` checked the shapes, so both sides hold P numbers.
      meander_cached_key(keys, slot, headWidth, row)
      if let value { value.update(from: cached, count: headWidth) }
    }
  }

  /// Writes a slot as `read` reads it: what the way back does with gradients.
  package func write(_ slot: Int, plain: Bool = false, key: Matrix, value: Matrix?) {
    visit(slot, plain: plain, key: key, value: value) { keys, row, cached, value in
      // Safe: as above.
      meander_cache_key(keys, slot, headWidth, row)
      if let value { cached.update(from: value, count: headWidth) }
    }
  }

  /// Head by head: its panels of keys, its part of the row, its cached value and its part of `value`.
  private func visit(
    _ slot: Int, plain: Bool, key: Matrix, value: Matrix?,
    _ body: (
      _ keys: UnsafeMutablePointer<Float>, _ row: UnsafeMutablePointer<Float>, _ cached: UnsafeMutablePointer<Float>,
      _ value: UnsafeMutablePointer<Float>?
    ) -> Void
  ) {
    let width = keyHeads * headWidth
    precondition(slot >= 0 && slot < slots && key.rows == 1 && key.columns == width && (value?.columns ?? width) == width)
    // Without far keys there is nothing that differs before turning.
    let far = plain ? farKeys : nil
    precondition(far == nil || slot < globalSlots)
    for head in 0..<keyHeads {
      // Safe: a slot lies inside the head's part of the cache, and a row holds P numbers from the head's place on.
      let panels = far.map { $0.base + head * globalSlots * headWidth } ?? keys.base + head * slots * headWidth
      body(
        panels, key.base + head * headWidth, values.base + (head * slots + slot) * values.columns,
        value.map { $0.base + head * headWidth })
    }
  }

  /// The cache of the gradients of these numbers.
  package func twin(_ gradient: (Matrix) -> Matrix, rule: AttentionRule) -> AttentionCache {
    AttentionCache(
      keys: gradient(keys), values: gradient(values), farKeys: farKeys.map(gradient), keyHeads: keyHeads,
      headWidth: headWidth, rule: rule)
  }
}

/// What an endless prefix adds (NTK-attention, 2024): to the sum of values T × H·P, and to the sum of weights T × H.
package struct AttentionPrefix {
  package let values: Matrix
  package let weights: Matrix

  package init(values: Matrix, weights: Matrix) { (self.values, self.weights) = (values, weights) }
}

extension Kernels {
  /// Attention of T queries, whose keys and values are in the cache already: y, T × H·P.
  ///
  /// The cache's ring must hold the last window + T - 1 positions. Bits depend neither on T nor on the ring.
  /// O(T · visible · H · P).
  ///
  /// - Parameters:
  ///   - q: T × H·P, turned.
  ///   - farQ: the same as they are at the ceiling's distance; nil where no distance is capped.
  ///   - position: of the first query.
  package func attention(
    _ q: Matrix, farQ: Matrix?, _ cache: AttentionCache, _ rule: AttentionRule, prefix: AttentionPrefix? = nil,
    position: Int64, into y: Matrix
  ) {
    let heads = q.columns / cache.headWidth
    let last = position + Int64(q.rows)
    precondition(
      y.rows == q.rows && y.columns == q.columns && heads % cache.keyHeads == 0 && heads * cache.headWidth == q.columns
        && (farQ.map { $0.rows == q.rows && $0.columns == q.columns && cache.farKeys != nil } ?? true)
        && (prefix.map { $0.values.rows == q.rows && $0.values.columns == q.columns && $0.weights.columns == heads } ?? true)
        && (rule.bias?.rows ?? heads) == heads && rule.ceiling >= rule.window - 1
        && min(Int64(rule.window + q.rows - 1), last) <= Int64(cache.ring + rule.globals), "an attention of mismatched shapes")
    guard q.rows > 0 else { return }
    let rows = q.rows * heads / cache.keyHeads
    let isInBlocks = rule.softplus == nil
    let tile = Int(isInBlocks ? MEANDER_ATTENTION_UNIT : MEANDER_ATTENTION_ROWS)
    let units = (rows + tile - 1) / tile * cache.keyHeads
    let local = Int(min(Int64(rule.window + tile), last)) + 32
    // Safe: the shapes were checked above; units write disjoint parts of y, each worker in scratch memory of its own.
    let job = meander_attention(
      rows: rule.row(), q: q.base, q_stride: q.stride, far_q: farQ.map { UnsafePointer($0.base) },
      far_stride: farQ?.stride ?? 0,
      far_keys: cache.farKeys.map { UnsafePointer($0.base) }, keys: cache.keys.base, values: cache.values.base,
      prefix: prefix.map { UnsafePointer($0.values.base) }, prefix_weight: prefix.map { UnsafePointer($0.weights.base) },
      prefix_stride: prefix?.values.stride ?? 0, prefix_weight_stride: prefix?.weights.stride ?? 0, y: y.base,
      y_stride: y.stride, position: position, tokens: q.rows, heads: heads, key_heads: cache.keyHeads,
      head_width: cache.headWidth, ring: cache.ring)
    let function = functions.attention
    let workers = min(sharing(operations: rows * cache.keyHeads * cache.headWidth * local), units)
    // Rows of scores and packed queries, near and far; in blocks also what each query gathers: outputs, sums, and two numbers.
    let scores = isInBlocks
      ? 2 * Int(MEANDER_ATTENTION_ROWS) * Int(MEANDER_ATTENTION_STRIDE) + tile * (cache.values.columns + 16 + 2)
      : tile * (2 * cache.globalSlots + (local + 15) / 16 * 16)
    let floats = (scores + 2 * tile * cache.headWidth + 15) / 16 * 16
    let scratch = team.scratch(rows: workers, columns: floats)
    withUnsafePointer(to: job) { job in
      team.split(workers) { part in
        for worker in part {
          function(job, units * worker / workers, units * (worker + 1) / workers, scratch.base + worker * scratch.stride)
        }
      }
    }
  }
}
