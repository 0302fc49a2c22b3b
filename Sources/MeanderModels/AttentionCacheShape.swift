import MeanderErrors
import MeanderFiles
import MeanderKernels

/// The part of a layer's state that attention keeps: what every mixer that attends declares, finds again and shows.
struct AttentionCacheShape: Sendable {
  /// KV, and the width of its rows.
  let keyHeads, headWidth: Int
  let bound: AttentionBound
  let rule: AttentionRule
  /// Global tokens' keys are kept as they were before turning, too, so that distances can be capped.
  let keepsFarKeys: Bool

  /// How many regions it has.
  var regions: Int { keepsFarKeys ? 3 : 2 }

  func declare(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    let slots = rule.globalSlots + bound.ring
    // What a slot means depends on the bound, and a snapshot taken under another one must not pass for this one's.
    let suffix = bound.capacity == nil ? "_\(bound.globals)_\(bound.locals)" : ""
    var regions = [
      layout.append("\(layer).keys\(suffix)", .f32, [keyHeads, slots / 16, headWidth, 16]),
      layout.append("\(layer).values\(suffix)", .f32, [keyHeads, slots, (headWidth + 15) / 16 * 16]),
    ]
    if keepsFarKeys {
      regions.append(
        layout.append("\(layer).far_keys\(suffix)", .f32, [keyHeads, rule.globalSlots / 16, headWidth, 16]))
    }
    return regions
  }

  /// The cache in a state, whose regions begin with the `first` of the layer's.
  func cache(_ state: MixerState, first: Int = 0) -> AttentionCache {
    AttentionCache(
      keys: state.matrix(first), values: state.matrix(first + 1), farKeys: keepsFarKeys ? state.matrix(first + 2) : nil,
      keyHeads: keyHeads, headWidth: headWidth, rule: rule)
  }

  var capacity: StreamCapacity? {
    bound.capacity.map {
      StreamCapacity(
        tokens: $0, what: "the full cache of attention", remedy: "Give it more bytes, or keep a bounded context.")
    }
  }

  /// Keys and values of the tokens that a stream of `position` tokens keeps, in their order, a row each: those of a window of its
  /// own but for the oldest, which the next token no longer sees.
  func rows(_ cache: AttentionCache, position: Int64) -> [(k: [Float], v: [Float])] {
    let kept = min(position, Int64(bound.locals - 1 + (rule.globals > 0 ? 1 : 0)))
    let first = min(Int64(rule.globals), position - kept)
    let columns = keyHeads * headWidth
    let (key, value) = (Matrix(rows: 1, columns: columns), Matrix(rows: 1, columns: columns))
    return (Array(0..<first) + Array((position - kept)..<position)).map { place in
      cache.read(cache.slot(place, globals: rule.globals), key: key, value: value)
      return (key.array(), value.array())
    }
  }

  /// k and v, KV × tokens × P, keys turned.
  func referenceState(_ cache: AttentionCache, position: Int64) -> [ReferenceTensor] {
    let rows = rows(cache, position: position)
    func tensor(_ name: String, _ row: ((k: [Float], v: [Float])) -> [Float]) -> ReferenceTensor {
      let values = (0..<keyHeads).flatMap { head in
        rows.flatMap { row($0)[head * headWidth..<(head + 1) * headWidth] }
      }
      return ReferenceTensor(name: name, shape: [keyHeads, rows.count, headWidth], values: values)
    }
    return [tensor("k") { $0.k }, tensor("v") { $0.v }]
  }
}

extension Operations {
  /// What attention reads, queries and keys turned where positions are rotary.
  ///
  /// - Parameters:
  ///   - q: of the last tokens; k and v: of all, whose first stands at `position`.
  func turned(
    q: Matrix, k: Matrix, v: Matrix, position: Int64, _ positions: AttentionPositions, _ shape: AttentionCacheShape
  ) -> AttentionOperands {
    guard let rotary = positions.rotary else {
      return AttentionOperands(q: q, farQ: nil, k: k, plainK: k, v: v, position: position)
    }
    let (width, ceiling) = (shape.headWidth, Int64(shape.rule.ceiling))
    let turned = rotate(k, by: angles(rotary, position, count: k.rows), headWidth: width)
    let first = position + Int64(k.rows - q.rows)
    let near = rotate(q, by: angles(rotary, first, count: q.rows), headWidth: width)
    let isFar = shape.keepsFarKeys && position + Int64(k.rows) > ceiling
    let far = isFar ? rotate(q, by: angles(rotary, ceiling, count: 1, isPlain: true), headWidth: width) : nil
    return AttentionOperands(q: near, farQ: far, k: turned, plainK: k, v: v, position: position)
  }
}
