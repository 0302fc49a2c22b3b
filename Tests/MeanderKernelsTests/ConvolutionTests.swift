import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct ConvolutionTests {
  static let widths = [1, 2, 4, 7, 20]

  struct Case {
    let x, taps, weight, bias: Matrix

    init(tokens: Int, channels: Int, width: Int) {
      x = .random(tokens, channels, seed: 1)
      taps = .random(width - 1, channels, seed: 2)
      weight = .random(width, channels, seed: 3)
      bias = .random(1, channels, seed: 4)
    }

    /// Outputs and the taps that remain.
    func run(_ kernels: Kernels, pieces: [Int], silu: Bool = true) -> [[UInt32]] {
      let (y, kept) = (Matrix(rows: x.rows, columns: x.columns), taps.copied())
      var start = 0
      for piece in pieces {
        let part = start..<(start + piece)
        kernels.causalConvolution(
          x.rows(part), taps: kept, weight: weight, bias: silu ? bias : nil, silu: silu, into: y.rows(part))
        start += piece
      }
      return [bits(y), bits(kept)]
    }
  }

  @Test(arguments: widths, everyTable) func `has the reference's bits`(width: Int, table: KernelTable) throws {
    for (tokens, channels) in [(1, 1), (2, 17), (3, 15), (9, 294), (37, 33)] {
      let shape = Case(tokens: tokens, channels: channels, width: width)
      let expected = shape.run(kernels(try .named("scalar")), pieces: [tokens])
      #expect(shape.run(kernels(table, threads: 3), pieces: [tokens]) == expected)
    }
  }

  @Test(arguments: widths) func `gives the same bits for every cut`(width: Int) {
    let shape = Case(tokens: 40, channels: 35, width: width)
    let whole = shape.run(kernels(), pieces: [40])
    for pieces in [[1, 39], [3, 0, 2, 35], [Int](repeating: 1, count: 40)] {
      #expect(shape.run(kernels(threads: 2), pieces: pieces) == whole)
    }
  }

  @Test func `is the sum over the window`() {
    let shape = Case(tokens: 6, channels: 3, width: 4)
    let y = Matrix(rows: 6, columns: 3)
    let inputs = shape.taps.array() + shape.x.array()
    kernels().causalConvolution(
      shape.x, taps: shape.taps.copied(), weight: shape.weight, bias: shape.bias, silu: false, into: y)
    let expected = (0..<18).map { place in
      (0..<4).reduce(Double(shape.bias[0, place % 3])) {
        $0 + Double(shape.weight[$1, place % 3]) * Double(inputs[place + 3 * $1])
      }
    }
    expectClose(y.array().map(Double.init), expected, "convolution", within: 1e-6)
  }
}
