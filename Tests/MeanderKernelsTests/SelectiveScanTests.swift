import MeanderKernels
import MeanderTestSupport
import Testing

/// One run of the selective scan: its inputs, and what comes out of them.
struct ScanCase: CustomTestStringConvertible, Sendable {
  var tokens = 65
  var heads = 2
  var groups = 1
  var width = 16
  var size = 8
  /// Raw time steps around this; softplus(0) is 0.7.
  var stepOffset: Float = -1

  var testDescription: String { "T\(tokens) H\(heads) G\(groups) P\(width) N\(size)" }

  struct Inputs {
    var x, dt, b, c, skip, state: Matrix
    var heads: [HeadGate]
  }

  func inputs(seed: UInt64 = 1) -> Inputs {
    var generator = SeededGenerator(seed: seed)
    let dt = Matrix.random(tokens, heads, seed: seed + 1)
    for t in 0..<tokens { for h in 0..<heads { dt[t, h] += stepOffset } }
    let gates = generator.uniform(heads, in: -4...1).enumerated().map { index, exponent in
      HeadGate(rate: -Double(exponent).exponential, bias: 0.1 * Float(index), minimum: 0.01, maximum: 3)
    }
    return Inputs(
      x: .random(tokens, heads * width, seed: seed + 2), dt: dt, b: .random(tokens, groups * size, seed: seed + 3),
      c: .random(tokens, groups * size, seed: seed + 4), skip: .random(1, heads, seed: seed + 5),
      state: Matrix.random(heads * size, width, seed: seed + 6).copied(), heads: gates)
  }

  struct Outputs: Equatable {
    var y: [UInt32] = []
    var state: [UInt32] = []
    var pending: [UInt64] = []
    var total: [UInt64] = []
  }

  /// Feeds the inputs in pieces of these sizes; outputs of all tokens, or of the last `outputs` of a single piece.
  func run(
    _ inputs: Inputs, on kernels: Kernels, pieces: [Int]? = nil, outputs: Int? = nil
  ) -> (Matrix, Matrix, Outputs) {
    let state = inputs.state.copied()
    let y = Matrix(rows: outputs ?? tokens, columns: heads * width)
    let none = [Double](repeating: 0, count: heads)
    let (pending, total) = (Doubles(none), Doubles(none))
    var start = 0
    for piece in pieces ?? [tokens] {
      let part = start..<(start + piece)
      let gates = Matrix(rows: piece, columns: 3 * heads)
      kernels.gates(inputs.dt.rows(part), heads: inputs.heads, pending: pending, total: total, into: gates)
      let shown = outputs.map { (tokens - $0)..<tokens } ?? part
      kernels.selectiveScan(
        x: inputs.x.rows(part), b: inputs.b.rows(part), c: inputs.c.rows(shown), gates: gates, skip: inputs.skip,
        state: state, groups: groups, outputs: shown.count, into: outputs == nil ? y.rows(part) : y)
      start += piece
    }
    let bitsOfAll = Outputs(y: bits(y), state: bits(state), pending: bits(pending.array()), total: bits(total.array()))
    let decayed = state.copied()
    for row in 0..<state.rows {
      let factor = Float(pending[row / size].exponential)
      for column in 0..<width { decayed[row, column] *= factor }
    }
    return (y, decayed, bitsOfAll)
  }
}

extension Double {
  var exponential: Double { Double.exponential(self) }
}

@Suite struct SelectiveScanTests {
  /// Small insertions into a state that is large and forgets nothing: what fp32 rounds away of each is a walk, unless it is kept.
  @Test(arguments: everyTable)
  func whatIsRoundedAwayIsKept(table: KernelTable) {
    let (tokens, heads, width, size) = (4096, 1, 37, 3)
    let kernels = Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32)
    let x = Matrix.random(tokens, heads * width, seed: 5)
    let b = Matrix.random(tokens, size, seed: 6)
    let gates = Matrix(rows: tokens, columns: 3 * heads)
    for t in 0..<tokens { (gates[t, 0], gates[t, 1], gates[t, 2]) = (t == 2000 ? 0.75 : 1, 0.01, 1) }
    let skip = Matrix.random(1, heads, seed: 7)
    func run(_ pieces: [Int], compensated: Bool) -> (state: Matrix, rest: Matrix) {
      let state = Matrix(rows: size, columns: width)
      state.fill(300)
      let rest = Matrix(rows: size, columns: width)
      rest.fill(0)
      var start = 0
      for piece in pieces {
        let part = start..<start + piece
        kernels.selectiveScan(
          x: x.rows(part), b: b.rows(part), c: nil, gates: gates.rows(part), skip: skip, state: state,
          rest: compensated ? rest : nil, groups: 1, outputs: 0, into: nil)
        start += piece
      }
      return (state, rest)
    }
    let (plain, kept) = (run([tokens], compensated: false), run([tokens], compensated: true))
    let cut = run([1, 1999, 3, 2093], compensated: true)
    #expect(bits(cut.state) == bits(kept.state) && bits(cut.rest) == bits(kept.rest))
    var (lost, left) = (0.0, 0.0)
    for n in 0..<size {
      for p in 0..<width {
        var exact = 300.0
        for t in 0..<tokens { exact = exact * Double(gates[t, 0]) + Double(b[t, n]) * Double(x[t, p] * gates[t, 1]) }
        lost = max(lost, abs(Double(plain.state[n, p]) - exact))
        left = max(left, abs(Double(kept.state[n, p]) + Double(kept.rest[n, p]) - exact))
      }
    }
    #expect(lost > 1e-4, "\(lost)")
    #expect(left < lost / 20, "\(left) against \(lost)")
  }

  static let shapes = [
    ScanCase(tokens: 1), ScanCase(tokens: 3), ScanCase(tokens: 4), ScanCase(tokens: 63), ScanCase(tokens: 64),
    ScanCase(tokens: 65), ScanCase(tokens: 257), ScanCase(tokens: 65, heads: 1, width: 60, size: 24),
    ScanCase(tokens: 65, heads: 6, groups: 2, width: 60, size: 24), ScanCase(tokens: 65, heads: 3, width: 5, size: 1),
    ScanCase(tokens: 30, heads: 4, width: 64, size: 128), ScanCase(tokens: 257, heads: 20, width: 16, stepOffset: -6),
  ]

  @Test(arguments: shapes) func `agrees with the naive recurrence in double precision`(shape: ScanCase) {
    let inputs = shape.inputs()
    let (y, state, _) = shape.run(inputs, on: kernels(threads: 2))
    var expected = inputs.state.array().map(Double.init)
    let expectedY = Naive.selectiveScan(
      x: inputs.x.array().map(Double.init), dt: inputs.dt.array().map(Double.init),
      b: inputs.b.array().map(Double.init), c: inputs.c.array().map(Double.init), heads: inputs.heads,
      skip: inputs.skip.array().map(Double.init), state: &expected, groups: shape.groups, tokens: shape.tokens)
    expectClose(y.array().map(Double.init), expectedY, "y")
    expectClose(state.array().map(Double.init), expected, "state")
  }

  @Test(arguments: shapes, everyTable) func `has the reference's bits`(shape: ScanCase, table: KernelTable) throws {
    let inputs = shape.inputs(seed: 7)
    let reference = shape.run(inputs, on: kernels(try KernelTable.named("scalar"))).2
    #expect(shape.run(inputs, on: kernels(table, threads: 3)).2 == reference)
  }

  @Test(arguments: [[257], [1, 256], [64, 64, 64, 65], [100, 3, 2, 1, 1, 150]])
  func `gives the same bits for every cut`(pieces: [Int]) {
    let shape = ScanCase(tokens: 257, heads: 4, groups: 2, width: 20, size: 12)
    let inputs = shape.inputs(seed: 3)
    let whole = shape.run(inputs, on: kernels()).2
    let single = shape.run(inputs, on: kernels(), pieces: [Int](repeating: 1, count: 257)).2
    #expect(shape.run(inputs, on: kernels(threads: 2), pieces: pieces).2 == whole)
    #expect(single == whole)
  }

  @Test(arguments: [0, 1, 2, 66, 256]) func `leaves out the outputs nobody asked for`(outputs: Int) {
    let shape = ScanCase(tokens: 257, heads: 2, width: 20, size: 12)
    let inputs = shape.inputs(seed: 4)
    let whole = shape.run(inputs, on: kernels())
    let part = shape.run(inputs, on: kernels(), outputs: outputs)
    #expect(part.2.state == whole.2.state)
    #expect(bits(part.0) == bits(whole.0.rows((257 - outputs)..<257)))
  }

  /// A million tokens over the same gates again and again; head h decays by about 10^(h - 9) a token.
  ///
  /// Each insertion rounds the fp32 state once, and a million of them walk it by 2e-5 whatever the decay: so 15 of 16
  /// tokens have no x here, and what is left is the decay's own error.
  @Test func `decay over a million tokens is neither too slow nor too fast`() {
    let shape = ScanCase(tokens: 4096, heads: 10, width: 8, size: 1)
    var inputs = shape.inputs(seed: 5)
    inputs.heads = (0..<10).map { HeadGate(rate: -Double.exponential(2.302585 * Double($0 - 9)) / 0.4) }
    var expected = inputs.state.array().map(Double.init)
    let (dt, b, c) = (
      inputs.dt.array().map(Double.init), inputs.b.array().map(Double.init), inputs.c.array().map(Double.init)
    )
    let skip = inputs.skip.array().map(Double.init)
    let (pending, total) = (Doubles([Double](repeating: 0, count: 10)), Doubles([Double](repeating: 0, count: 10)))
    let (gates, y) = (Matrix(rows: 4096, columns: 30), Matrix(rows: 4096, columns: 80))
    let kernels = kernels(threads: 2)
    var chunked = ChunkedScan(inputs)
    var generator = SeededGenerator(seed: 6)
    let numbers = generator.uniform(2 * 4096 * 80, in: -1...1)
    var expectedY: [Double] = []
    for _ in 0..<245 {
      let start = Int.random(in: 0...(4096 * 80), using: &generator)
      let x = (0..<(4096 * 80)).map { $0 / 80 % 16 == 0 ? numbers[start + $0] : 0 }
      kernels.gates(inputs.dt, heads: inputs.heads, pending: pending, total: total, into: gates)
      kernels.selectiveScan(
        x: Matrix(x, rows: 4096, columns: 80), b: inputs.b, c: inputs.c, gates: gates, skip: inputs.skip,
        state: inputs.state, groups: 1, outputs: 4096, into: y)
      chunked.run(Matrix(x, rows: 4096, columns: 80), kernels)
      expectedY = Naive.selectiveScan(
        x: x.map(Double.init), dt: dt, b: b, c: c, heads: inputs.heads, skip: skip, state: &expected, groups: 1,
        tokens: 4096)
    }
    let outputs = y.array().map(Double.init)
    for head in 0..<10 {
      let state = inputs.state.rows(head..<(head + 1)).array().map { Double($0) * pending[head].exponential }
      expectClose(state, Array(expected[(8 * head)..<(8 * head + 8)]), "state of head \(head)")
      expectClose(chunked.state(of: head), Array(expected[(8 * head)..<(8 * head + 8)]), "chunked state of head \(head)")
      let places: [Int] = (0..<4096).map { $0 * 80 + 8 * head }
      expectClose(places.map { outputs[$0] }, places.map { expectedY[$0] }, "y of head \(head)")
      let chunkedY = chunked.y.array().map(Double.init)
      expectClose(places.map { chunkedY[$0] }, places.map { expectedY[$0] }, "chunked y of head \(head)")
    }
  }
}

/// The chunked scan over the same inputs, call after call.
private struct ChunkedScan {
  let inputs: ScanCase.Inputs
  let table: HeadTable
  let steps: HeadSteps
  let stored: Matrix
  let pending: Doubles
  let y: Matrix

  init(_ inputs: ScanCase.Inputs) {
    self.inputs = inputs
    let (tokens, heads) = (inputs.dt.rows, inputs.heads.count)
    table = HeadTable(inputs.heads)
    steps = HeadSteps(
      step: Matrix(rows: tokens, columns: heads), decay: Doubles([Double](repeating: 0, count: tokens * heads)))
    stored = inputs.state.copied()
    pending = Doubles([Double](repeating: 0, count: heads))
    y = Matrix(rows: tokens, columns: heads * inputs.state.columns)
  }

  mutating func run(_ x: Matrix, _ kernels: Kernels) {
    kernels.steps(inputs.dt, heads: table, total: nil, into: steps)
    let chunks = ChunkScanInputs(
      x: x, b: inputs.b, c: inputs.c, steps: steps, heads: table, skip: inputs.skip, groups: 1)
    let scratch = Matrix(rows: 1, columns: chunks.scratchCount)
    kernels.chunkScan(chunks, state: stored, pending: pending, boundaries: nil, scratch: scratch, into: y)
  }

  func state(of head: Int) -> [Double] {
    stored.rows(head..<(head + 1)).array().map { Double($0) * pending[head].exponential }
  }
}
