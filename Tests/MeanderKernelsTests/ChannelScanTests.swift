import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct ChannelScanTests {
  struct Case {
    let x, dt, rate, b, c, skip, state: Matrix

    init(tokens: Int, channels: Int, size: Int) {
      x = .random(tokens, channels, seed: 1)
      dt = .random(tokens, channels, seed: 2, scale: 0.3)
      kernels().softplus(dt, into: dt)
      rate = .random(size, channels, seed: 3)
      for n in 0..<size { for i in 0..<channels { rate[n, i] = -abs(rate[n, i]) } }
      b = .random(tokens, size, seed: 4)
      c = .random(tokens, size, seed: 5)
      skip = .random(1, channels, seed: 6)
      state = .random(size, channels, seed: 7)
    }

    func run(
      _ kernels: Kernels, pieces: [Int], gate: ChannelGate = .init()
    ) -> (y: Matrix, state: Matrix, rest: Matrix) {
      let (y, moved) = (Matrix(rows: x.rows, columns: x.columns), state.copied())
      let rest = Matrix(rows: state.rows, columns: state.columns)
      var start = 0
      for piece in pieces {
        let part = start..<(start + piece)
        kernels.channelScan(
          x: x.rows(part), dt: dt.rows(part), rate: rate, b: b.rows(part), c: c.rows(part), skip: skip, state: moved,
          rest: rest, gate: gate, outputs: piece, into: y.rows(part))
        start += piece
      }
      return (y, moved, rest)
    }
  }

  @Test(arguments: [(1, 1, 1), (3, 17, 4), (65, 40, 16), (257, 15, 5)])
  func `agrees with the naive recurrence and with the reference`(tokens: Int, channels: Int, size: Int) throws {
    let shape = Case(tokens: tokens, channels: channels, size: size)
    let (y, state, _) = shape.run(kernels(threads: 2), pieces: [tokens])
    var expected = shape.state.array().map(Double.init)
    let expectedY = Naive.channelScan(
      x: shape.x.array().map(Double.init), dt: shape.dt.array().map(Double.init),
      rate: shape.rate.array().map(Double.init), b: shape.b.array().map(Double.init),
      c: shape.c.array().map(Double.init), skip: shape.skip.array().map(Double.init), state: &expected, tokens: tokens)
    expectClose(y.array().map(Double.init), expectedY, "y")
    expectClose(state.array().map(Double.init), expected, "state")
    let reference = shape.run(kernels(try .named("scalar")), pieces: [tokens])
    for table in everyTable {
      let result = shape.run(kernels(table, threads: 3), pieces: [tokens])
      #expect(bits(result.y) == bits(reference.y), "\(table.name)")
      #expect(bits(result.state) == bits(reference.state), "\(table.name)")
      #expect(bits(result.rest) == bits(reference.rest), "\(table.name)")
    }
  }

  @Test func `takes a gate transform`() throws {
    let shape = Case(tokens: 65, channels: 40, size: 16)
    var gate = ChannelGate()
    (gate.rateScale, gate.logRetention, gate.insertion) = (0.3, -0.05, 0.7)
    let (y, state, _) = shape.run(kernels(threads: 2), pieces: [65], gate: gate)
    var expected = shape.state.array().map(Double.init)
    let expectedY = Naive.channelScan(
      x: shape.x.array().map(Double.init), dt: shape.dt.array().map(Double.init),
      rate: shape.rate.array().map(Double.init), b: shape.b.array().map(Double.init),
      c: shape.c.array().map(Double.init), skip: shape.skip.array().map(Double.init), state: &expected, gate: gate,
      tokens: 65)
    expectClose(y.array().map(Double.init), expectedY, "y")
    expectClose(state.array().map(Double.init), expected, "state")
    let reference = shape.run(kernels(try .named("scalar")), pieces: [65], gate: gate)
    for table in everyTable {
      let result = shape.run(kernels(table, threads: 3), pieces: [32, 33], gate: gate)
      #expect(bits(result.y) == bits(reference.y) && bits(result.state) == bits(reference.state), "\(table.name)")
    }
  }

  @Test func `gives the same bits for every cut`() {
    let shape = Case(tokens: 30, channels: 20, size: 6)
    let whole = shape.run(kernels(), pieces: [30])
    for pieces in [[1, 29], [7, 7, 16], [Int](repeating: 1, count: 30)] {
      let cut = shape.run(kernels(threads: 2), pieces: pieces)
      #expect(bits(cut.y) == bits(whole.y))
      #expect(bits(cut.state) == bits(whole.state))
      #expect(bits(cut.rest) == bits(whole.rest))
    }
  }

  /// A million tokens over the same inputs again and again; state n decays by about 10^(n - 9) a token.
  @Test func `decay over a million tokens is neither too slow nor too fast`() {
    let shape = Case(tokens: 4096, channels: 4, size: 10)
    let doubles = (
      x: shape.x.array().map(Double.init), dt: shape.dt.array().map(Double.init), b: shape.b.array().map(Double.init),
      c: shape.c.array().map(Double.init), skip: shape.skip.array().map(Double.init)
    )
    for n in 0..<10 {
      for i in 0..<4 { shape.rate[n, i] = -Float(Double.exponential(2.302585 * Double(n - 9)) / 0.7) }
    }
    let rate = shape.rate.array().map(Double.init)
    var expected = shape.state.array().map(Double.init)
    var expectedY: [Double] = []
    let (state, rest) = (shape.state.copied(), Matrix(rows: 10, columns: 4))
    let y = Matrix(rows: 4096, columns: 4)
    let kernels = kernels()
    for _ in 0..<245 {
      kernels.channelScan(
        x: shape.x, dt: shape.dt, rate: shape.rate, b: shape.b, c: shape.c, skip: shape.skip, state: state, rest: rest,
        outputs: 4096, into: y)
      expectedY = Naive.channelScan(
        x: doubles.x, dt: doubles.dt, rate: rate, b: doubles.b, c: doubles.c, skip: doubles.skip, state: &expected,
        tokens: 4096)
    }
    for n in 0..<10 {
      expectClose(
        state.rows(n..<n + 1).array().map(Double.init), Array(expected[4 * n..<4 * n + 4]), "states that decay by 1e\(n - 9)")
    }
    expectClose(y.array().map(Double.init), expectedY, "y")
  }
}
