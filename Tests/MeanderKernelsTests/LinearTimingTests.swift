import Foundation
import MeanderKernels
import MeanderTestSupport
import Testing

/// How long the gated delta rule takes over 4,096 tokens in each of its forms, with `MEANDER_TIMING=1` alone: `Benchmarks/recurrence`
/// builds for release and runs it.
@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["MEANDER_TIMING"] == "1")) struct LinearTimingTests {
  /// Heads, P and N: the gated delta rule as flash-linear-attention's configuration has it, as Qwen3-Next has it, heads of the latter
  /// so few that their states stay in the second cache, and of a small model.
  @Test(arguments: [(6, 512, 256), (32, 128, 128), (2, 128, 128), (4, 64, 64)])
  func theGatedDeltaRule(heads: Int, width: Int, size: Int) {
    let tokens = 4096
    let k = Matrix.random(tokens, heads * size, seed: 2, scale: 1 / Float(size).squareRoot())
    let strength = Matrix([Float](repeating: -0.6, count: tokens * heads), rows: tokens, columns: heads)
    let decay = Matrix.random(tokens, heads, seed: 4)
    for t in 0..<tokens { for head in 0..<heads { decay[t, head] = -0.05 * abs(decay[t, head]) } }
    let inputs = LinearInputs(
      q: .random(tokens, heads * size, seed: 3), k: k, v: .random(tokens, heads * width, seed: 1), decay: decay, removal: k,
      strength: strength, heads: heads)
    let kernels = kernels(threads: 1)
    let scratch = Matrix(rows: tokens, columns: inputs.scratchPerToken)
    func run(_ body: (_ state: Matrix, _ pending: Doubles, _ total: Doubles, _ y: Matrix) -> Void) -> (Double, Matrix) {
      var (times, y): ([Double], Matrix) = ([], Matrix(rows: tokens, columns: heads * width))
      for _ in 0..<5 {
        let state = Matrix(rows: heads * size, columns: width)
        y = Matrix(rows: tokens, columns: heads * width)
        // The system hands out memory before the clock runs.
        y.fill(0)
        let (pending, total) = (Doubles(.init(repeating: 0, count: heads)), Doubles(.init(repeating: 0, count: heads)))
        let elapsed = ContinuousClock().measure { body(state, pending, total, y) }
        times.append(Double(elapsed.components.attoseconds) / 1e18 + Double(elapsed.components.seconds))
      }
      return (times.sorted()[2], y)
    }
    let (scan, expected) = run { state, pending, total, y in
      for start in stride(from: 0, to: tokens, by: 512) {
        kernels.linearScan(
          inputs.rows(start..<start + 512), state: state, pending: pending, total: total, scratch: scratch.rows(0..<512),
          into: y.rows(start..<start + 512))
      }
    }
    let (single, same) = run { state, pending, total, y in
      for t in 0..<tokens {
        kernels.linearScan(
          inputs.rows(t..<t + 1), state: state, pending: pending, total: total, scratch: scratch.rows(0..<1), into: y.rows(t..<t + 1))
      }
    }
    let (chunk, chunked) = run { state, pending, total, y in
      kernels.linearChunkScan(inputs, state: state, pending: pending, total: total, boundaries: nil, into: y)
    }
    let boundaries = LinearBoundaries()
    func zeros(_ matrix: Matrix) -> Matrix {
      let zeros = Matrix(rows: matrix.rows, columns: matrix.columns)
      zeros.fill(0)
      return zeros
    }
    let gradients = LinearGradients(
      q: zeros(inputs.q), k: zeros(inputs.k), v: zeros(inputs.v), decay: zeros(inputs.decay), removal: zeros(inputs.k),
      strength: zeros(strength))
    let (back, _) = run { state, pending, total, y in
      if boundaries.isEmpty {
        kernels.linearChunkScan(inputs, state: state, pending: pending, total: total, boundaries: boundaries, into: y)
      }
      kernels.linearChunkScanBackward(inputs, boundaries: boundaries, dy: chunked, dstate: state, gradients: gradients)
    }
    // The definition, which reads like the paper: a few tokens of it.
    let few = inputs.rows(0..<16)
    let naive = NaiveLinearInputs<Double>(few, state: [Double](repeating: 0, count: heads * size * width))
    var definition: [Double] = []
    let elapsed = ContinuousClock().measure { definition = Naive.linearScan(naive).y }
    let each = Double(elapsed.components.attoseconds) / 1e18 + Double(elapsed.components.seconds)
    let plain = each * Double(tokens / few.tokens)
    expectClose(chunked.rows(0..<few.tokens).array().map { Double($0) }, definition, "chunks and the definition")
    #expect(bits(same) == bits(expected))
    expectClose(chunked.array(), expected.array(), "chunks")
    func text(_ seconds: Double) -> String { "\((seconds * 1e6 / Double(tokens * heads) * 1000).rounded() / 1000) µs" }
    print(
      """
      H \(heads) P \(width) N \(size), a head and token: scan \(text(scan)), a token a call \(text(single)), chunks \(text(chunk)), \
      back \(text(back)); \
      chunks are \((scan / chunk * 100).rounded() / 100) times the scan, \((single / chunk * 100).rounded() / 100) times single tokens, \((plain / chunk).rounded()) times the definition
      """)
  }
}
