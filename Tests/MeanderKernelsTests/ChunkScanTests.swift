import MeanderKernels
import MeanderTestSupport
import Testing

/// The chunked scan against the naive one in double precision: outputs, final state and every gradient, from a state that is
/// not zero and has decay pending, at awkward lengths, in every instruction table.
@Suite struct ChunkScanTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    var tokens: Int
    var heads = 2
    var groups = 1
    var width = 16
    var size = 8
    var chunk = 64
    /// Raw time steps around this.
    var offset: Float = -1
    var testDescription: String { "T\(tokens) H\(heads) G\(groups) P\(width) N\(size) Q\(chunk) \(offset)" }
  }

  static let shapes = [1, 3, 4, 63, 64, 65, 257].map { Shape(tokens: $0) } + [
    Shape(tokens: 70, heads: 6, groups: 3, width: 5, size: 7, chunk: 32),
    Shape(tokens: 130, heads: 4, groups: 2, width: 33, size: 19, chunk: 48, offset: 3),
    Shape(tokens: 65, heads: 3, groups: 1, width: 64, size: 64, offset: -8),
    Shape(tokens: 40, heads: 1, groups: 1, width: 4, size: 130, chunk: 7),
  ]
  static let tables = KernelTable.all + KernelTable.forTests

  struct Case {
    let shape: Shape
    let x, b, c, dt, skip, stored, dy, dfinal: Matrix
    let heads: [HeadGate]
    let pending: [Double]

    init(_ shape: Shape) {
      self.shape = shape
      let (tokens, heads) = (shape.tokens, shape.heads)
      x = .random(tokens, heads * shape.width, seed: 1)
      b = .random(tokens, shape.groups * shape.size, seed: 2)
      c = .random(tokens, shape.groups * shape.size, seed: 3)
      dt = .random(tokens, heads, seed: 4)
      for t in 0..<tokens { for h in 0..<heads { dt[t, h] += shape.offset } }
      skip = .random(1, heads, seed: 5)
      stored = Matrix.random(heads * shape.size, shape.width, seed: 6).copied()
      dy = .random(tokens, heads * shape.width, seed: 7)
      dfinal = Matrix.random(heads * shape.size, shape.width, seed: 8).copied()
      self.heads = (0..<heads).map {
        HeadGate(
          rate: -0.02 - 0.7 * Double($0), logRetention: -0.001, bias: 0.1 * Float($0) - 0.2, scale: 0.9, threshold: 0.0001,
          insertion: 0.8, minimum: 0.0005, maximum: 3)
      }
      pending = (0..<heads).map { -0.5 * Double($0 + 1) }
    }

    var naive: SelectiveScanInputs<Double> {
      func doubles(_ matrix: Matrix) -> [Double] { matrix.array().map { Double($0) } }
      let count = shape.size * shape.width
      let state = doubles(stored).enumerated().map { $1 * exponential(pending[$0 / count]) }
      return SelectiveScanInputs(
        x: doubles(x), dt: doubles(dt), b: doubles(b), c: doubles(c), heads: heads, skip: doubles(skip), state: state,
        groups: shape.groups, tokens: shape.tokens)
    }
  }

  @Test(arguments: shapes, tables)
  func agreesWithTheNaiveScanForthAndBack(shape: Shape, table: KernelTable) {
    let kernels = Kernels(table: table, team: WorkerTeam(threads: 1), compute: .fp32)
    let run = Case(shape)
    let (tokens, heads) = (shape.tokens, shape.heads)
    let steps = HeadSteps(step: Matrix(rows: tokens, columns: heads), decay: Doubles(.init(repeating: 0, count: tokens * heads)))
    let headTable = HeadTable(run.heads)
    let total = Doubles(.init(repeating: 0, count: heads))
    kernels.steps(run.dt, heads: headTable, total: total, into: steps)
    let inputs = ChunkScanInputs(
      x: run.x, b: run.b, c: run.c, steps: steps, heads: headTable, skip: run.skip, groups: shape.groups, chunk: shape.chunk)
    let state = run.stored.copied()
    let pending = Doubles(run.pending)
    let y = Matrix(rows: tokens, columns: heads * shape.width)
    let boundaries = (
      states: Matrix(rows: inputs.chunks, columns: state.rows * state.columns),
      pending: Doubles(.init(repeating: 0, count: inputs.chunks * heads)))
    // Scratch memory may hold anything.
    let scratch = Matrix([Float](repeating: .nan, count: inputs.scratchCount), rows: 1, columns: inputs.scratchCount)
    kernels.chunkScan(inputs, state: state, pending: pending, boundaries: boundaries, scratch: scratch, into: y)

    let naive = run.naive
    var reference = naive.state
    let outputs = Naive.selectiveScan(
      x: naive.x, dt: naive.dt, b: naive.b, c: naive.c, heads: run.heads, skip: naive.skip, state: &reference,
      groups: shape.groups, tokens: tokens)
    let count = shape.size * shape.width
    let final = state.array().enumerated().map { Double($1) * exponential(pending[$0 / count]) }
    expectClose(y.array().map { Double($0) }, outputs, "y", within: 2e-5)
    expectClose(final, reference, "state", within: 2e-5)

    let expected = Naive.selectiveScanBackward(
      naive, outputs: run.dy.array().map { Double($0) }, finalState: run.dfinal.array().map { Double($0) })
    let dstate = run.dfinal.copied()
    let (dx, db, dc) = (Matrix(rows: tokens, columns: run.x.columns), Matrix(rows: tokens, columns: run.b.columns), Matrix(rows: tokens, columns: run.b.columns))
    let (ddecay, dinsertion, ddt) = (Matrix(rows: tokens, columns: heads), Matrix(rows: tokens, columns: heads), Matrix(rows: tokens, columns: heads))
    let (dskip, dbias, drate) = (Matrix(rows: 1, columns: heads), Matrix(rows: 1, columns: heads), Matrix(rows: 1, columns: heads))
    kernels.chunkScanBackward(
      inputs, boundaries: boundaries, scratch: scratch, dy: run.dy, dstate: dstate, dtotal: nil, dx: dx, db: db, dc: dc,
      ddecay: ddecay, dinsertion: dinsertion, dskip: dskip)
    kernels.stepsBackward(
      run.dt, heads: headTable, steps: steps, ddecay: ddecay, dinsertion: dinsertion, ddt: ddt, dbias: dbias, dlogRate: drate)
    func check(_ actual: Matrix, _ expected: [Double], _ name: String) {
      expectClose(actual.array().map { Double($0) }, expected, name, within: 2e-5)
    }
    check(dx, expected.x, "dx")
    check(db, expected.b, "dB")
    check(dc, expected.c, "dC")
    check(ddt, expected.dt, "ddt")
    check(dstate, expected.state, "dstate")
    check(dskip, expected.skip, "dD")
    check(dbias, expected.bias, "dbias")
    check(drate, expected.logRate, "dA_log")
  }
}
