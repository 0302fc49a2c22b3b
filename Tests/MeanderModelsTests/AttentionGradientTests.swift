import Glibc
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// One attention layer in a model, for gradients.
struct AttentionModel: Sendable, CustomTestStringConvertible {
  var name: String
  var positions = AttentionPositions.none
  var bound = AttentionBound(globals: 2, locals: 4)
  var headNorm: Float?
  var hasBias = false
  var softplus: SoftplusRule?
  var hasPrefix = false

  var testDescription: String { name }

  static let rotary = Rotary(turns: [0.13], magnitude: 1.1)
  static let all = [
    AttentionModel(name: "turned, normed, biased", positions: .rotary(rotary), headNorm: 1e-3, hasBias: true),
    AttentionModel(name: "linear biases", positions: .linear, bound: AttentionBound(globals: 0, locals: 5)),
    AttentionModel(name: "learned biases", positions: .buckets(name: "buckets", count: 4, largest: 6)),
    AttentionModel(name: "softplus", softplus: SoftplusRule(logWidth: 1.4, power: 0)),
    AttentionModel(name: "softplus, sharpened", softplus: SoftplusRule(logWidth: 1.4, offset: 0.2, power: 2)),
    AttentionModel(name: "a prefix", positions: .rotary(rotary), hasPrefix: true),
  ]

  static let (vocabulary, width, heads, keyHeads, headWidth) = (5, 6, 4, 2, 4)

  var sizes: AttentionMixer.Sizes {
    var sizes = AttentionMixer.Sizes(
      width: Self.width, heads: Self.heads, keyHeads: Self.keyHeads, headWidth: Self.headWidth)
    (sizes.positions, sizes.headNorm, sizes.softplus, sizes.hasPrefix) = (positions, headNorm, softplus, hasPrefix)
    (sizes.hasInputBias, sizes.hasOutputBias) = (hasBias, hasBias)
    return sizes
  }

  func build(_ reader: WeightReader) throws -> Blocks {
    var names = AttentionMixer.Names(q: "q", k: "k", v: "v", output: "o")
    (names.qNorm, names.kNorm, names.prefix) = ("qn", "kn", "prefix")
    return Blocks(
      embedding: try reader.weight("embedding", outputs: Self.vocabulary, inner: Self.width),
      steps: [Block(layer: 0, norm: nil, mixer: try AttentionMixer(sizes, bound, names, from: reader))],
      finalNorm: try reader.rootMeanSquareNorm("final", width: Self.width, epsilon: 1e-3),
      head: OutputHead(try reader.weight("head", outputs: Self.vocabulary, inner: Self.width)))
  }

  func parameters() throws -> Parameters {
    let parameters = Parameters(try WeightReader.declarations(of: build))
    var generator = SeededGenerator(seed: 4)
    for entry in parameters.entries {
      parameters.matrix(entry).copy(
        from: Matrix(generator.normal(entry.count, scale: 0.8), rows: entry.rows, columns: entry.columns))
    }
    return parameters
  }

  /// Σ of the surprise of `targets`, as the papers write it, over the stream from its first token on.
  func loss(_ values: [String: [Double]], _ ids: [Int32], _ targets: [Int32]) -> Double {
    let (heads, keyHeads, headWidth, width) = (Self.heads, Self.keyHeads, Self.headWidth, Self.width)
    func product(_ x: [Double], _ name: String, _ inner: Int) -> [Double] {
      let weight = values[name == "head" ? name : name + ".weight"]!
      let outputs = weight.count / inner
      let bias = values[name + ".bias"]
      var y: [Double] = []
      for row in stride(from: 0, to: x.count, by: inner) {
        for output in 0..<outputs {
          var sum: Double = bias?[output] ?? 0
          for k in 0..<inner { sum += x[row + k] * weight[output * inner + k] }
          y.append(sum)
        }
      }
      return y
    }
    func norm(_ x: [Double], _ weight: [Double]?, _ epsilon: Double) -> [Double] {
      guard let weight else { return x }
      var y: [Double] = []
      for row in stride(from: 0, to: x.count, by: weight.count) {
        let own = x[row..<row + weight.count]
        let squares: Double = own.reduce(0) { $0 + $1 * $1 }
        let scale: Double = 1 / (squares / Double(weight.count) + epsilon).squareRoot()
        for (number, factor) in zip(own, weight) { y.append(number * scale * factor) }
      }
      return y
    }
    let embedding = values["embedding"]!
    let x: [Double] = ids.flatMap { id in Array(embedding[Int(id) * width..<(Int(id) + 1) * width]) }
    let q = norm(product(x, "q", width), values["qn.weight"], 1e-3)
    let k = norm(product(x, "k", width), values["kn.weight"], 1e-3)
    var rule = AttentionRule(
      globals: bound.globals, window: bound.locals, ceiling: bound.locals, scale: 0.5, softplus: softplus)
    var turns: [Double] = []
    switch positions {
    case .none: break
    case .rotary(let rotary): turns = rotary.turns
    case .linear:
      let biases = (1...4).map { head -> [Float] in (0...5).map { Float(-exp2(-2 * Double(head)) * Double($0)) } }
      rule.bias = AttentionRule.biasTable(biases)
    case .buckets: break
    }
    var prefix: (values: [Double], weights: [Double])?
    if hasPrefix {
      let features = q.map { number -> Double in
        let x = number / 2.0.squareRoot()
        return x > 0 ? x + 1 : exp(x)
      }
      prefix = ([], [])
      for row in stride(from: 0, to: q.count, by: headWidth) {
        let head = row / headWidth % heads
        let own = features[row..<row + headWidth]
        for place in 0..<headWidth {
          let first = (head * headWidth + place) * headWidth
          prefix?.values.append(dot(own, values["prefix.values"]![first..<first + headWidth]))
        }
        let keys = values["prefix.keys"]![head * headWidth..<(head + 1) * headWidth]
        prefix?.weights.append(dot(own, keys.map { abs($0) }[...]))
      }
    }
    let v = product(x, "v", width)
    let mixed: [Double]
    if case .buckets = positions {
      mixed = bucketed(q, k, v, values["buckets"]!)
    } else {
      mixed = Naive.attention(
        q: q, k: k, v: v, heads: heads, keyHeads: keyHeads, headWidth: headWidth, rule: rule, turns: turns, magnitude: 1.1,
        prefix: prefix)
    }
    let out: [Double] = zip(x, product(mixed, "o", heads * headWidth)).map { $0 + $1 }
    let logits = product(norm(out, values["final"], 1e-3), "head", width)
    var sum = 0.0
    for (place, target) in targets.enumerated() {
      let row = logits[place * Self.vocabulary..<(place + 1) * Self.vocabulary]
      let total: Double = row.reduce(0) { $0 + exp($1) }
      sum += log(total) - row[row.startIndex + Int(target)]
    }
    return sum
  }

  private func dot(_ x: ArraySlice<Double>, _ y: ArraySlice<Double>) -> Double { zip(x, y).reduce(0) { $0 + $1.0 * $1.1 } }

  /// The same with learned biases of buckets 0, 1, 2 and, from a distance of 4 on, 3.
  private func bucketed(_ q: [Double], _ k: [Double], _ v: [Double], _ learned: [Double]) -> [Double] {
    let (heads, keyHeads, width) = (Self.heads, Self.keyHeads, Self.headWidth)
    return (0..<q.count / (heads * width)).flatMap { t in
      (0..<heads).flatMap { head -> [Double] in
        let seen = (0...t).filter { $0 < bound.globals || $0 > t - bound.locals }
        func row(_ x: [Double], _ p: Int) -> [Double] {
          let first = (p * keyHeads + head / 2) * width
          return Array(x[first..<first + width])
        }
        let scores = seen.map { p -> Double in
          let bucket = [0, 1, 2, 2, 3][min(t - p, bound.locals)]
          let query = q[(t * heads + head) * width..<(t * heads + head + 1) * width]
          return dot(query, row(k, p)[...]) * 0.5 + learned[bucket * heads + head]
        }
        return Naive.attend(scores, seen.map { row(v, $0) })
      }
    }
  }
}

@Suite struct AttentionGradientTests {
  /// Runs of 3, 5 and 6 tokens on one tape, each but the first from a cache that is not empty: keys of one run take gradients from
  /// the next.
  @Test(arguments: AttentionModel.all, [false, true])
  func ofEveryParameterAreThePapers(model: AttentionModel, recomputes: Bool) throws {
    let ids: [Int32] = [1, 4, 0, 3, 3, 2, 1, 0, 4, 4, 2, 3, 0, 1]
    let targets: [Int32] = [2, 0, 4, 1, 3, 3, 0, 2, 1, 4, 0, 2, 3, 4]
    let stack = try TapedStack(
      model.parameters(), ids: ids, targets: targets, runs: [0..<3, 3..<8, 8..<14], scale: 1, recomputes: recomputes,
      build: model.build)
    #expect(abs(stack.loss - model.loss(stack.values, ids, targets)) < 1e-4)
    for entry in stack.parameters.entries {
      let slopes = stack.slopes(of: entry) { model.loss($0, ids, targets) }
      let found = stack.gradient(of: entry)
      // A bias of keys moves no softmax that knows no positions.
      if slopes.allSatisfy({ abs($0) < 1e-7 }) {
        #expect(found.allSatisfy { abs($0) < 1e-5 }, "\(entry.name)")
      } else {
        expectClose(found, slopes, entry.name)
      }
    }
  }
}
