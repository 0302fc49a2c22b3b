import CMeanderKernels

/// The columns of a matrix of scores in training: slots for the global tokens, then the positions from `base` on.
package struct AttentionColumns: Sendable {
  package let globalSlots: Int
  /// A multiple of 16, and so is `count`.
  package let base: Int64
  package let count: Int

  /// What tokens from `first` to `last` see.
  package init(_ rule: AttentionRule, first: Int64, last: Int64) {
    globalSlots = rule.globalSlots
    let low = min(last, max(Int64(rule.globals), first - Int64(rule.window) + 1))
    base = low / 16 * 16
    count = Int((last - base) / 16 + 1) * 16
  }

  private init(globalSlots: Int, base: Int64, count: Int) {
    (self.globalSlots, self.base, self.count) = (globalSlots, base, count)
  }

  package var total: Int { globalSlots + count }

  /// The first of them, to the position `last`.
  package func upTo(_ last: Int64) -> AttentionColumns {
    AttentionColumns(globalSlots: globalSlots, base: base, count: min(count, Int(max(0, last - base) / 16 + 1) * 16))
  }

  /// Where a position's column is.
  package func column(_ position: Int64, globals: Int) -> Int? {
    if position < Int64(globals) { return Int(position) }
    return position >= base && position < base + Int64(count) ? globalSlots + Int(position - base) : nil
  }
}

/// Some queries of one head in training.
package struct AttentionRows {
  package let rule: AttentionRule
  package let columns: AttentionColumns
  package let head: Int
  /// Of the first query.
  package let position: Int64
  /// What the prefix adds to each row's sum, T × 1.
  package let prefixWeights: Matrix?

  package init(
    rule: AttentionRule, columns: AttentionColumns, head: Int, position: Int64, prefixWeights: Matrix? = nil
  ) {
    (self.rule, self.columns, self.head, self.position) = (rule, columns, head, position)
    self.prefixWeights = prefixWeights
  }

  fileprivate func job(_ scores: Matrix, lifts: Matrix) -> meander_attention_rows {
    precondition(
      scores.columns == columns.total && lifts.rows == 1 && lifts.columns == scores.rows
        && (prefixWeights.map { $0.rows == scores.rows && $0.columns == 1 } ?? true), "shapes differ")
    // Safe: a row has all columns that the job names, and every row has a place in `lifts`.
    return meander_attention_rows(
      rows: rule.row(base: columns.base, columns: columns.count), scores: scores.base, stride: scores.stride,
      position: position, count: scores.rows, head: head, prefix_weight: prefixWeights.map { UnsafePointer($0.base) },
      prefix_weight_stride: prefixWeights?.stride ?? 0, lifts: lifts.base)
  }
}

extension Kernels {
  /// Scores (rows × columns) become weights that sum up to one less what the prefix takes; `lifts` (1 × rows) the factor on
  /// what the prefix adds to the values.
  package func attentionWeights(_ scores: Matrix, _ rows: AttentionRows, lifts: Matrix) {
    var job = rows.job(scores, lifts: lifts)
    training.attention_rows(&job)
  }

  /// The way back: the gradient of the weights in `dweights` becomes that of the scores.
  ///
  /// - Parameters:
  ///   - raw: the scores as they were; read for softplus alone.
  ///   - along: 1 × rows, per row Σ output · its gradient.
  ///   - dbias: takes the gradient of the head's row of the bias table.
  package func attentionWeightsBackward(
    _ weights: Matrix, raw: Matrix, _ rows: AttentionRows, lifts: Matrix, along: Matrix, dweights: Matrix, dbias: Matrix?
  ) {
    precondition(
      [raw, dweights].allSatisfy { $0.rows == weights.rows && $0.columns == weights.columns && $0.stride == weights.stride }
        && along.rows == 1 && along.columns == weights.rows
        && (dbias.map { $0.rows == 1 && $0.columns == rows.rule.bias?.columns } ?? true), "shapes differ")
    // Safe: the shapes were checked above.
    var job = meander_attention_rows_backward(
      forward: rows.job(weights, lifts: lifts), raw: raw.base, dweights: dweights.base, along: along.base,
      dbias: dbias?.base)
    training.attention_rows_backward(&job)
  }

  /// Scratch memory of the calling thread, valid until the next call that needs any.
  package func scratch(rows: Int, columns: Int) -> Matrix { team.scratch(rows: rows, columns: columns) }
}
