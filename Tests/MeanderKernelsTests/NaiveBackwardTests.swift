import MeanderKernels
import MeanderTestSupport
import Testing

/// The naive backward against central differences, in double precision: outputs, final state, and from a state that is
/// not zero.
@Suite struct NaiveBackwardTests {
  struct Shape: Sendable, CustomTestStringConvertible {
    let tokens, heads, groups, width, size: Int
    var testDescription: String { "T \(tokens), H \(heads), G \(groups), P \(width), N \(size)" }
  }

  static let shapes = [
    Shape(tokens: 1, heads: 1, groups: 1, width: 3, size: 2), Shape(tokens: 4, heads: 6, groups: 2, width: 2, size: 3),
    Shape(tokens: 9, heads: 2, groups: 1, width: 5, size: 4),
  ]

  @Test(arguments: shapes)
  func gradientsAreThoseOfDifferences(shape: Shape) throws {
    var generator = SeededGenerator(seed: 29)
    func draw(_ count: Int, _ scale: Float = 1) -> [Double] { generator.normal(count, scale: scale).map { Double($0) } }
    let heads = (0..<shape.heads).map { head in
      HeadGate(
        rate: -0.3 - 0.2 * Double(head), logRetention: -0.001, bias: 0.1 * Float(head) - 0.2, scale: 0.9, threshold: 0,
        insertion: 0.8, minimum: 0.05, maximum: 3)
    }
    var inputs = SelectiveScanInputs<Double>(
      x: draw(shape.tokens * shape.heads * shape.width), dt: draw(shape.tokens * shape.heads),
      b: draw(shape.tokens * shape.groups * shape.size), c: draw(shape.tokens * shape.groups * shape.size), heads: heads,
      skip: draw(shape.heads), state: draw(shape.heads * shape.size * shape.width), groups: shape.groups,
      tokens: shape.tokens)
    let outputs = draw(inputs.x.count)
    let finalState = draw(inputs.state.count)

    func loss(_ inputs: SelectiveScanInputs<Double>) -> Double {
      var state = inputs.state
      let y = Naive.selectiveScan(
        x: inputs.x, dt: inputs.dt, b: inputs.b, c: inputs.c, heads: inputs.heads, skip: inputs.skip, state: &state,
        groups: inputs.groups, tokens: inputs.tokens)
      return zip(y, outputs).reduce(0) { $0 + $1.0 * $1.1 } + zip(state, finalState).reduce(0) { $0 + $1.0 * $1.1 }
    }
    let gradients = Naive.selectiveScanBackward(inputs, outputs: outputs, finalState: finalState)

    func differences(_ path: WritableKeyPath<SelectiveScanInputs<Double>, [Double]>) -> [Double] {
      inputs[keyPath: path].indices.map { index in
        let value = inputs[keyPath: path][index]
        defer { inputs[keyPath: path][index] = value }
        inputs[keyPath: path][index] = value + 1e-5
        let above = loss(inputs)
        inputs[keyPath: path][index] = value - 1e-5
        return (above - loss(inputs)) / 2e-5
      }
    }
    expectClose(gradients.x, differences(\.x), "dx", within: 1e-8)
    expectClose(gradients.dt, differences(\.dt), "ddt", within: 1e-8)
    expectClose(gradients.b, differences(\.b), "dB", within: 1e-8)
    expectClose(gradients.c, differences(\.c), "dC", within: 1e-8)
    expectClose(gradients.skip, differences(\.skip), "dD", within: 1e-8)
    expectClose(gradients.state, differences(\.state), "dstate", within: 1e-8)
    let rates = heads.indices.map { head in
      var (above, below) = (inputs, inputs)
      above.heads[head].rate *= exponential(1e-5)
      below.heads[head].rate *= exponential(-1e-5)
      return (loss(above) - loss(below)) / 2e-5
    }
    expectClose(gradients.logRate, rates, "dA_log", within: 1e-8)
  }
}
