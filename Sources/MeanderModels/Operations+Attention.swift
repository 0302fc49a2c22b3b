import MeanderKernels

/// What attention reads, as `Operations.attention` names it.
package struct AttentionOperands {
  /// outputs × H·P, turned; and the same as they are at the ceiling's distance, where any is capped.
  package let q: Matrix
  package let farQ: Matrix?
  /// T × KV·P: keys turned, and before that.
  package let k: Matrix
  package let plainK: Matrix
  /// T × KV·P
  package let v: Matrix
  package var prefix: AttentionPrefix?
  /// Of the first of the T tokens.
  package let position: Int64

  package init(
    q: Matrix, farQ: Matrix?, k: Matrix, plainK: Matrix, v: Matrix, prefix: AttentionPrefix? = nil, position: Int64
  ) {
    (self.q, self.farQ, self.k, self.plainK, self.v) = (q, farQ, k, plainK, v)
    (self.prefix, self.position) = (prefix, position)
  }

  /// How many of the tokens ask nothing.
  var silent: Int { k.rows - q.rows }
}

extension Operations {
  /// Tokens whose keys join the cache at a time: it holds so many more than a token sees.
  package static let attentionRun = 64

  /// Attention of the last tokens over those before them (Vaswani and others 2017), outputs × H·P; the cache takes in all T.
  ///
  /// - Parameters:
  ///   - rule: what is seen. The bias's parameter, if it has one, takes the gradient of its table through `biasGradient`.
  ///   - biasGradient: with a tape, given the gradient of the table of biases, H × what it has of columns.
  package func attention(
    _ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule,
    biasGradient: ((Gradients, Matrix) -> Void)? = nil
  ) -> Matrix {
    let y = arena.matrix(rows: operands.q.rows, columns: operands.q.columns)
    timed(.attention) {
      switch form {
      case .scan: streamAttention(operands, cache, rule, into: y)
      case .naive: naiveAttention(operands, cache, rule, into: y)
      case .chunk: chunkAttention(operands, cache, rule, into: y, biasGradient)
      }
    }
    if let stepObserver, stepObserver.watchesAttention { show(operands, cache, rule, to: stepObserver) }
    return y
  }

  /// T tokens in runs: keys and values join the cache, then queries read it.
  private func streamAttention(_ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule, into y: Matrix) {
    let count = operands.k.rows
    for start in stride(from: 0, to: count, by: Self.attentionRun) {
      let run = start..<min(count, start + Self.attentionRun)
      cache.append(
        operands.k.rows(run), plain: operands.plainK.rows(run), operands.v.rows(run),
        from: operands.position + Int64(start), globals: rule.globals)
      let asked = max(0, run.lowerBound - operands.silent)..<max(0, run.upperBound - operands.silent)
      guard !asked.isEmpty else { continue }
      let first = operands.position + Int64(operands.silent + asked.lowerBound)
      let isFar = Int64(rule.ceiling) < first + Int64(asked.count) - 1
      kernels.attention(
        operands.q.rows(asked), farQ: isFar ? operands.farQ?.rows(asked) : nil, cache, rule,
        prefix: operands.prefix.map { AttentionPrefix(values: $0.values.rows(asked), weights: $0.weights.rows(asked)) },
        position: first, into: y.rows(asked))
    }
  }

  /// Token by token in double precision, from what the cache holds.
  private func naiveAttention(_ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule, into y: Matrix) {
    let (width, heads) = (cache.headWidth, operands.q.columns / cache.headWidth)
    for token in 0..<operands.k.rows {
      let t = operands.position + Int64(token)
      cache.append(
        operands.k.rows(token..<token + 1), plain: operands.plainK.rows(token..<token + 1),
        operands.v.rows(token..<token + 1), from: t, globals: rule.globals)
      guard token >= operands.silent else { continue }
      let row = token - operands.silent..<token - operands.silent + 1
      let sight = naiveSight(operands, row: row.lowerBound, cache, rule)
      var result: [Float] = []
      for head in 0..<heads {
        let other = head / (heads / cache.keyHeads) * width
        let prefix = operands.prefix.map {
          (values: $0.values.rows(row).columns(head * width..<(head + 1) * width).doubles, weight: Double($0.weights[row.lowerBound, head]))
        }
        result += Naive.attend(
          sight.scores[head], sight.values.map { Array($0[other..<other + width]) }, softplus: rule.softplus, prefix: prefix
        ).map { Float($0) }
      }
      y.rows(row).copy(from: Matrix(result, rows: 1, columns: y.columns))
    }
  }

  /// What one query sees: the positions, their values, and each head's scores, biased and scaled.
  private func naiveSight(
    _ operands: AttentionOperands, row: Int, _ cache: AttentionCache, _ rule: AttentionRule
  ) -> (seen: [Int64], values: [[Double]], scores: [[Double]]) {
    let (width, heads) = (cache.headWidth, operands.q.columns / cache.headWidth)
    let t = operands.position + Int64(operands.silent + row)
    let (key, value) = (Matrix(rows: 1, columns: operands.k.columns), Matrix(rows: 1, columns: operands.k.columns))
    let low = max(Int64(rule.globals), t - Int64(rule.window) + 1)
    let seen = Array(0..<min(Int64(rule.globals), t + 1)) + (low <= t ? Array(low...t) : [])
    var (keys, values): ([[Double]], [[Double]]) = ([], [])
    for p in seen {
      let isFar = t - p > Int64(rule.ceiling) && cache.farKeys != nil
      cache.read(cache.slot(p, globals: rule.globals), plain: isFar, key: key, value: value)
      keys.append(key.doubles)
      values.append(value.doubles)
    }
    let near = operands.q.rows(row..<row + 1).doubles
    let far = operands.farQ.map { $0.rows($0.rows == 1 ? 0..<1 : row..<row + 1).doubles } ?? near
    let scores = (0..<heads).map { head in
      let (own, other) = (head * width..<(head + 1) * width, head / (heads / cache.keyHeads) * width)
      var scale = Double(rule.scale)
      if let softplus = rule.softplus { scale *= Double(softplus.logWidth) * logarithm(Double(seen.count)) }
      return zip(seen, keys).map { p, key -> Double in
        let distance = min(t - p, Int64(rule.ceiling))
        let query = (t - p > Int64(rule.ceiling) ? far : near)[own]
        let bias = rule.bias.map {
          $0[head, AttentionRule.biasPlace(min(Int(distance), rule.biasLength - 1), of: rule.biasLength)]
        }
        return zip(query, key[other..<other + width]).reduce(0) { $0 + $1.0 * $1.1 } * scale + Double(bias ?? 0)
      }
    }
    return (seen, values, scores)
  }

  /// Tells whoever looks where the last query's weights went.
  private func show(_ operands: AttentionOperands, _ cache: AttentionCache, _ rule: AttentionRule, to observer: any StepObserver) {
    guard operands.q.rows > 0 else { return }
    let last = operands.q.rows - 1
    let sight = naiveSight(operands, row: last, cache, rule)
    let weights = sight.scores.enumerated().map { head, scores in
      Naive.attentionWeights(
        scores, softplus: rule.softplus, prefixWeight: operands.prefix.map { Double($0.weights[last, head]) }
      ).weights
    }
    observer.see(attention: weights, to: sight.seen, at: operands.position + Int64(operands.k.rows - 1))
  }

  /// x turned by its rows' angles, T × (heads · headWidth).
  package func rotate(_ x: Matrix, by angles: Angles, headWidth: Int) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.rotate(x, by: angles, headWidth: headWidth, into: y)
    if let tape {
      let (kernels, gradients) = (kernels, tape.gradients)
      tape.record {
        let dx = gradients.of(x)
        let turned = Matrix(rows: x.rows, columns: x.columns)
        kernels.rotate(gradients.of(y), by: angles, headWidth: headWidth, back: true, into: turned)
        kernels.add(turned, to: dx)
      }
    }
    return y
  }
}
