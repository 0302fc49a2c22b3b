import Glibc
import MeanderKernels
import MeanderTestSupport
import Testing

/// One shape of attention over a stream.
struct AttentionCase: Sendable, CustomTestStringConvertible {
  var name: String
  var heads = 4
  var keyHeads = 2
  var width = 16
  var globals = 0
  var window = 1000
  var pairs = 0
  var hasBias = false
  var softplus: SoftplusRule?
  var hasPrefix = false
  var tokens = 90

  var testDescription: String { name }

  static let all = [
    AttentionCase(name: "plain"),
    AttentionCase(name: "a window", globals: 0, window: 7),
    AttentionCase(name: "first and last, turned", heads: 6, keyHeads: 2, width: 24, globals: 5, window: 20, pairs: 12),
    AttentionCase(name: "partly turned, every head a key", heads: 3, keyHeads: 3, width: 10, globals: 17, window: 33, pairs: 3),
    AttentionCase(name: "biased by distance", heads: 13, keyHeads: 1, width: 8, globals: 3, window: 12, hasBias: true),
    AttentionCase(name: "softplus", globals: 4, window: 30, pairs: 8, softplus: SoftplusRule(logWidth: 2.77, power: 0)),
    AttentionCase(name: "softplus, sharpened", globals: 4, window: 30, softplus: SoftplusRule(logWidth: 2.77, offset: 0.5, power: 3)),
    AttentionCase(name: "a prefix", globals: 2, window: 9, pairs: 8, hasPrefix: true),
    // A ring that ends within a block of 512 positions, and as many first tokens as need two.
    AttentionCase(name: "several blocks", heads: 2, keyHeads: 1, width: 8, globals: 3, window: 600, tokens: 1500),
    AttentionCase(name: "several first blocks, turned", heads: 1, keyHeads: 1, width: 4, globals: 530, window: 40, pairs: 2, tokens: 1100),
    AttentionCase(name: "a prefix and several blocks", heads: 2, keyHeads: 2, width: 33, hasPrefix: true, tokens: 700),
  ]

  var rule: AttentionRule {
    let length = window + 1
    let biases = (0..<heads).map { head in (0..<length).map { Float(-0.1 * Double(head + 1) * Double($0)) } }
    return AttentionRule(
      globals: globals, window: window, ceiling: window, scale: 0.3, bias: hasBias ? AttentionRule.biasTable(biases) : nil,
      softplus: softplus)
  }

  var turns: [Double] { (0..<pairs).map { 0.17 / pow(3, Double($0)) } }
  func input(_ seed: UInt64, _ columns: Int) -> Matrix { .random(tokens, columns, seed: seed, scale: 1.5) }
  var q: Matrix { input(1, heads * width) }
  var k: Matrix { input(2, keyHeads * width) }
  var v: Matrix { input(3, keyHeads * width) }
  var prefix: AttentionPrefix? {
    guard hasPrefix else { return nil }
    let weights = Matrix(input(5, heads).array().map { abs($0) }, rows: tokens, columns: heads)
    return AttentionPrefix(values: input(4, heads * width), weights: weights)
  }

  /// The stream in runs of these sizes, the rest in runs of 64.
  func streamed(_ kernels: Kernels, cut: [Int] = []) -> Matrix {
    let rule = rule
    let ring = (min(window, tokens) + 63 + 15) / 16 * 16
    let slots = rule.globalSlots + ring
    let cache = AttentionCache(
      keys: Matrix(rows: keyHeads * slots / 16 * width, columns: 16),
      values: Matrix(rows: keyHeads * slots, columns: (width + 15) / 16 * 16),
      farKeys: pairs > 0 && globals > 0 ? Matrix(rows: keyHeads * rule.globalSlots / 16 * width, columns: 16) : nil,
      keyHeads: keyHeads, headWidth: width, rule: rule)
    let (q, k, v, prefix) = (q, k, v, prefix)
    let y = Matrix(rows: tokens, columns: heads * width)
    var sizes = cut[...]
    var start = 0
    while start < tokens {
      let run = start..<min(tokens, start + (sizes.popFirst() ?? 64))
      var (near, far, turned) = (q.rows(run), Matrix?.none, k.rows(run))
      if pairs > 0 {
        func rotated(_ x: Matrix, from position: Int, count: Int) -> Matrix {
          let angles = Angles(cosines: Matrix(rows: count, columns: pairs), sines: Matrix(rows: count, columns: pairs))
          kernels.angles(turns, from: Int64(position), magnitude: 1, into: angles)
          let result = Matrix(rows: x.rows, columns: x.columns)
          kernels.rotate(x, by: angles, headWidth: width, into: result)
          return result
        }
        near = rotated(q.rows(run), from: start, count: run.count)
        far = globals > 0 ? rotated(q.rows(run), from: rule.ceiling, count: 1) : nil
        turned = rotated(k.rows(run), from: start, count: run.count)
      }
      cache.append(turned, plain: k.rows(run), v.rows(run), from: Int64(start), globals: globals)
      kernels.attention(
        near, farQ: far, cache, rule,
        prefix: prefix.map { AttentionPrefix(values: $0.values.rows(run), weights: $0.weights.rows(run)) },
        position: Int64(start), into: y.rows(run))
      start = run.upperBound
    }
    return y
  }

  var naive: [Double] {
    func doubles(_ matrix: Matrix) -> [Double] { matrix.array().map(Double.init) }
    return Naive.attention(
      q: doubles(q), k: doubles(k), v: doubles(v), heads: heads, keyHeads: keyHeads, headWidth: width, rule: rule,
      turns: turns, prefix: prefix.map { (doubles($0.values), doubles($0.weights)) })
  }
}

@Suite struct AttentionTests {
  @Test(arguments: AttentionCase.all) func `a stream's outputs are the papers'`(one: AttentionCase) {
    expectClose(one.streamed(kernels(threads: 2)).array().map(Double.init), one.naive, one.name, within: 3e-6)
  }

  @Test(arguments: AttentionCase.all) func `the cut and the team do not matter`(one: AttentionCase) {
    let whole = bits(one.streamed(kernels()))
    #expect(bits(one.streamed(kernels(threads: 3), cut: [Int](repeating: 1, count: 90))) == whole)
    #expect(bits(one.streamed(kernels(threads: 2), cut: [3, 1, 17, 40, 2])) == whole)
  }

  @Test(arguments: AttentionCase.all, everyTable) func `every table has the same bits`(one: AttentionCase, table: KernelTable) throws {
    #expect(bits(one.streamed(kernels(table), cut: [50, 1])) == bits(one.streamed(kernels(try .named("scalar")))))
  }

  @Test func `a bound changes no bit before it binds`() {
    var (bounded, full) = (AttentionCase(name: "bounded"), AttentionCase(name: "full"))
    (bounded.globals, bounded.window, bounded.pairs, full.pairs) = (7, 83, 8, 8)
    // From the next token on the first one would be farther than the ceiling.
    (bounded.tokens, full.tokens) = (84, 84)
    #expect(bits(bounded.streamed(kernels())) == bits(full.streamed(kernels())))
    bounded.window = 82
    #expect(bits(bounded.streamed(kernels())) != bits(full.streamed(kernels())))
  }

  @Test(arguments: everyTable) func `angles keep their digits at any position`(table: KernelTable) {
    let turns = [0.15915494309189535, 0.0123, 1e-9, 0.5, 0.25, 0.375, 0.0]
    for position in [Int64(0), 1, 511, 1_000_000, 3_000_000_001] {
      let angles = Angles(cosines: Matrix(rows: 3, columns: 7), sines: Matrix(rows: 3, columns: 7))
      kernels(table).angles(turns, from: position, magnitude: 1, into: angles)
      for row in 0..<3 {
        for (pair, turn) in turns.enumerated() {
          let whole = Double(position + Int64(row)) * turn
          let angle = 2 * Double.pi * (whole - whole.rounded())
          #expect(abs(Double(angles.cosines[row, pair]) - cos(angle)) < 7e-8)
          #expect(abs(Double(angles.sines[row, pair]) - sin(angle)) < 7e-8)
        }
      }
    }
  }
}
