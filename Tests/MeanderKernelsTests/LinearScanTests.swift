import MeanderKernels
import MeanderTestSupport
import Testing

/// The linear recurrence of the family in its three forms, from a state that is not zero and has decay pending.
@Suite struct LinearScanTests {
  enum Kind: String, CaseIterable, Sendable {
    /// A constant decay of each head: RetNet, lightning attention.
    case constant
    /// One decay of each head and token: mLSTM.
    case scalar
    /// One for each key: GLA, HGRN2, RWKV-6, which reads first.
    case diagonal, diagonalReadingFirst
    /// The delta rule without decay, with one of each head, with one of each key, and as RWKV-7 has it.
    case delta, gatedDelta, keyedDelta, generalDelta
    /// Three slices of each token: Mamba-3 of several inputs and outputs, and what nothing has yet.
    case ranked, rankedReadingFirst

    var decaysKeys: Bool { [.diagonal, .diagonalReadingFirst, .keyedDelta, .generalDelta, .rankedReadingFirst].contains(self) }
    var removes: Bool { [.delta, .gatedDelta, .keyedDelta, .generalDelta].contains(self) }
    var readsBefore: Bool { [.diagonalReadingFirst, .rankedReadingFirst].contains(self) }
    var rank: Int { [.ranked, .rankedReadingFirst].contains(self) ? 3 : 1 }
  }

  struct Shape: Sendable, CustomTestStringConvertible {
    var tokens: Int
    var heads = 2
    var groups = 2
    var width = 16
    var size = 8
    /// The largest log-decay of a token.
    var decay: Float = 0.5
    var testDescription: String { "T\(tokens) H\(heads) G\(groups) P\(width) N\(size) \(decay)" }
  }

  static let shapes = [1, 31, 32, 33, 63, 257].map { Shape(tokens: $0) } + [
    Shape(tokens: 70, heads: 6, groups: 3, width: 5, size: 7), Shape(tokens: 65, heads: 1, groups: 1, width: 70, size: 64),
    Shape(tokens: 130, heads: 2, groups: 1, width: 33, size: 19, decay: 1e-6),
    Shape(tokens: 90, heads: 2, groups: 2, width: 20, size: 6, decay: 12),
    Shape(tokens: 40, heads: 1, groups: 1, width: 4, size: 130, decay: 90),
  ]
  static let tables = KernelTable.all + KernelTable.forTests

  struct Case {
    let inputs: LinearInputs
    let stored, dy, dfinal: Matrix
    let pending: [Double]

    init(_ shape: Shape, _ kind: Kind) {
      let (tokens, keys) = (shape.tokens, shape.groups * kind.rank * shape.size)
      let k = Matrix.random(tokens, keys, seed: 2, scale: 1 / Float(shape.size).squareRoot())
      let columns = kind.decaysKeys ? shape.heads * shape.size : shape.heads
      let decay = Matrix.random(tokens, columns, seed: 4)
      for t in 0..<tokens {
        for h in 0..<columns {
          let share = kind == .constant ? 1 / Float(h + 1) : 1 / (1 + 9 * abs(decay[t, h]))
          decay[t, h] = kind == .delta ? 0 : -shape.decay * share
        }
      }
      var (removal, replacement, strength): (Matrix?, Matrix?, Matrix?)
      if kind == .generalDelta {
        removal = .random(tokens, keys, seed: 10, scale: 0.5 / Float(shape.size).squareRoot())
        replacement = .random(tokens, keys, seed: 9, scale: 0.5 / Float(shape.size).squareRoot())
      } else if kind.removes {
        removal = k
        strength = .random(tokens, shape.groups, seed: 9)
        for t in 0..<tokens { for group in 0..<shape.groups { strength?[t, group] = -0.6 - 0.3 * (strength?[t, group] ?? 0) } }
      }
      let width = shape.heads * kind.rank * shape.width
      inputs = LinearInputs(
        q: .random(tokens, keys, seed: 3), k: k, v: .random(tokens, width, seed: 1), decay: decay, removal: removal,
        replacement: replacement, strength: strength, heads: shape.heads, groups: shape.groups, rank: kind.rank,
        readsBefore: kind.readsBefore)
      stored = Matrix.random(shape.heads * shape.size, shape.width, seed: 6).copied()
      dy = .random(tokens, width, seed: 7)
      dfinal = Matrix.random(shape.heads * shape.size, shape.width, seed: 8).copied()
      pending = (0..<columns).map { -0.5 * Double($0 % 7 + 1) }
    }

    /// A stored state times the decay that is pending.
    func truth(_ state: Matrix, _ pending: [Double]) -> [Double] {
      let count = state.rows * state.columns / pending.count
      return state.array().enumerated().map { Double($1) * exponential(pending[$0 / count]) }
    }

    var naive: NaiveLinearInputs<Double> { NaiveLinearInputs(inputs, state: truth(stored, pending)) }

    /// The scan, in pieces.
    func scan(_ kernels: Kernels, pieces: [Int]) -> (y: Matrix, state: Matrix, pending: Doubles, total: Doubles) {
      let (y, state) = (Matrix(rows: inputs.tokens, columns: inputs.v.columns), stored.copied())
      let (left, total) = (Doubles(pending), Doubles(.init(repeating: 0, count: pending.count)))
      var start = 0
      for piece in pieces {
        let rows = start..<start + piece
        let part = inputs.rows(rows)
        let each = inputs.scratchPerToken
        let scratch = Matrix([Float](repeating: .nan, count: piece * each), rows: piece, columns: each)
        kernels.linearScan(part, state: state, pending: left, total: total, scratch: scratch, into: y.rows(rows))
        start += piece
      }
      return (y, state, left, total)
    }
  }

  @Test(arguments: shapes, Kind.allCases)
  func theScanAgreesWithTheNaiveOneInTheSameBitsEverywhere(shape: Shape, kind: Kind) throws {
    let run = Case(shape, kind)
    let result = run.scan(kernels(threads: 2), pieces: [shape.tokens])
    let naive = Naive.linearScan(run.naive)
    expectClose(result.y.array().map { Double($0) }, naive.y, "y")
    expectClose(run.truth(result.state, result.pending.array()), try #require(naive.states.last), "state")
    let single = NaiveLinearInputs<Float>(run.inputs, state: run.naive.state.map { Float($0) })
    expectClose(Naive.linearScan(single).y.map { Double($0) }, naive.y, "naive in Float", within: 1e-4)
    for table in everyTable + [try .named("scalar")] {
      let other = run.scan(kernels(table, threads: 3), pieces: [shape.tokens])
      #expect(bits(other.y) == bits(result.y) && bits(other.state) == bits(result.state), "\(table.name)")
      #expect(bits(other.pending.array()) == bits(result.pending.array()), "\(table.name)")
      #expect(bits(other.total.array()) == bits(result.total.array()), "\(table.name)")
    }
    for pieces in [[1, shape.tokens - 1], [Int](repeating: 1, count: shape.tokens)] where shape.tokens > 1 {
      let other = run.scan(kernels(), pieces: pieces)
      #expect(bits(other.y) == bits(result.y) && bits(other.state) == bits(result.state), "\(pieces.count) pieces")
      #expect(bits(other.pending.array()) == bits(result.pending.array()))
    }
  }

  /// Rows that nobody asks for change nothing in the state.
  @Test(arguments: Kind.allCases)
  func onlyTheLastOutputsAreComputed(kind: Kind) {
    let run = Case(Shape(tokens: 33), kind)
    let whole = run.scan(kernels(), pieces: [33])
    var inputs = run.inputs
    inputs.q = inputs.q.rows(30..<33)
    let (y, state) = (Matrix(rows: 3, columns: inputs.v.columns), run.stored.copied())
    let (pending, total) = (Doubles(run.pending), Doubles(.init(repeating: 0, count: run.pending.count)))
    kernels().linearScan(
      inputs, state: state, pending: pending, total: total, scratch: Matrix(rows: 33, columns: inputs.scratchPerToken), into: y)
    #expect(bits(y) == bits(whole.y.rows(30..<33)) && bits(state) == bits(whole.state))
  }

  @Test(arguments: shapes, Kind.allCases)
  func chunksAgreeWithTheNaiveOneForthAndBack(shape: Shape, kind: Kind) throws {
    let run = Case(shape, kind)
    let expected = Naive.linearScanBackward(
      run.naive, outputs: run.dy.array().map { Double($0) }, finalState: run.dfinal.array().map { Double($0) })
    let naive = Naive.linearScan(run.naive)
    for table in shape.tokens == 33 ? Self.tables : [.best] {
      let kernels = kernels(table)
      let state = run.stored.copied()
      let (pending, total) = (Doubles(run.pending), Doubles(.init(repeating: 0, count: run.pending.count)))
      let y = Matrix(rows: shape.tokens, columns: run.inputs.v.columns)
      let boundaries = LinearBoundaries()
      kernels.linearChunkScan(run.inputs, state: state, pending: pending, total: total, boundaries: boundaries, into: y)
      expectClose(y.array().map { Double($0) }, naive.y, "y")
      expectClose(run.truth(state, pending.array()), try #require(naive.states.last), "state")
      // Longer runs, where nothing is stored on the way.
      let (moved, left, y2) = (run.stored.copied(), Doubles(run.pending), Matrix(rows: y.rows, columns: y.columns))
      kernels.linearChunkScan(run.inputs, state: moved, pending: left, total: total, boundaries: nil, into: y2)
      expectClose(y2.array().map { Double($0) }, naive.y, "y of one run")
      expectClose(run.truth(moved, left.array()), try #require(naive.states.last), "state of one run")

      func zeros(_ matrix: Matrix) -> Matrix { Matrix(rows: matrix.rows, columns: matrix.columns) }
      let gradients = LinearGradients(
        q: zeros(run.inputs.q), k: zeros(run.inputs.k), v: zeros(run.inputs.v), decay: zeros(run.inputs.decay),
        removal: run.inputs.removal.map(zeros), replacement: run.inputs.replacement.map(zeros),
        strength: run.inputs.strength.map(zeros))
      let dstate = run.dfinal.copied()
      kernels.linearChunkScanBackward(run.inputs, boundaries: boundaries, dy: run.dy, dstate: dstate, gradients: gradients)
      func check(_ actual: Matrix?, _ expected: [Double], _ name: String) {
        expectClose(actual?.array().map { Double($0) } ?? [], expected, name)
      }
      check(gradients.q, expected.q, "dq")
      var dk = expected.k
      if let strength = run.inputs.strength {
        // The replacement is as many times k.
        var dstrength = [Double](repeating: 0, count: strength.rows * strength.columns)
        let strengths = strength.array()
        for (index, k) in run.naive.k.enumerated() {
          let place = index / shape.size
          dk[index] += Double(strengths[place]) * expected.replacement[index]
          dstrength[place] += k * expected.replacement[index]
        }
        check(gradients.strength, dstrength, "dstrength")
      }
      check(gradients.k, dk, "dk")
      check(gradients.v, expected.v, "dv")
      check(gradients.decay, expected.decay, "ddecay")
      check(dstate, expected.state, "dstate")
      if kind.removes {
        check(gradients.removal, expected.removal, "dremoval")
        if kind == .generalDelta { check(gradients.replacement, expected.replacement, "dreplacement") }
      }
    }
  }

  @Test(arguments: Kind.allCases)
  func theNaiveWayBackIsThatOfDifferences(kind: Kind) {
    let run = Case(Shape(tokens: 6, heads: 4, groups: 2, width: 3, size: 2), kind)
    var inputs = run.naive
    let (dy, dfinal) = (run.dy.array().map { Double($0) }, run.dfinal.array().map { Double($0) })
    let gradients = Naive.linearScanBackward(inputs, outputs: dy, finalState: dfinal)
    func loss() -> Double {
      let (y, states) = Naive.linearScan(inputs)
      return zip(y, dy).reduce(0) { $0 + $1.0 * $1.1 } + zip(states[5], dfinal).reduce(0) { $0 + $1.0 * $1.1 }
    }
    func check(_ path: WritableKeyPath<NaiveLinearInputs<Double>, [Double]>, _ gradient: [Double], _ name: String) {
      let differences = inputs[keyPath: path].indices.map { index in
        let value = inputs[keyPath: path][index]
        defer { inputs[keyPath: path][index] = value }
        inputs[keyPath: path][index] = value + 1e-5
        let above = loss()
        inputs[keyPath: path][index] = value - 1e-5
        return (above - loss()) / 2e-5
      }
      expectClose(gradient, differences, name, within: 1e-8)
    }
    check(\.q, gradients.q, "dq")
    check(\.k, gradients.k, "dk")
    check(\.v, gradients.v, "dv")
    check(\.decay, gradients.decay, "ddecay")
    check(\.state, gradients.state, "dstate")
    guard kind.removes else { return }
    check(\.removal, gradients.removal, "dremoval")
    check(\.replacement, gradients.replacement, "dreplacement")
  }
}

extension LinearInputs {
  func rows(_ rows: Range<Int>) -> LinearInputs {
    LinearInputs(
      q: q.rows(rows), k: k.rows(rows), v: v.rows(rows), decay: decay.rows(rows), removal: removal?.rows(rows),
      replacement: replacement?.rows(rows), strength: strength?.rows(rows), heads: heads, groups: groups, rank: rank,
      readsBefore: readsBefore)
  }
}
