import MeanderKernels
import MeanderLongConvolution
import MeanderModels
import MeanderTestSupport
import Testing

/// The way back through one long convolution, against sums over the definition in double precision.
@Suite struct LongGradientTests {
  /// A history of `before` tokens, then a run of `count` in segments, all on one tape: the gradients of every output of the run times
  /// a random factor, for the inputs, the taps, and what the state held.
  @Test(arguments: [
    (60, 0, [40]), (130, 0, [300]), (200, 100, [60]), (300, 128, [128, 128]), (300, 200, [500, 1, 30]), (520, 1000, [77, 600]),
    (2300, 300, [2500, 700]),
    (257, 0, [128, 384, 512]),
  ])
  func isThatOfTheDefinition(length: Int, before: Int, runs: [Int]) throws {
    let channels = 2
    let stream = try Stream(channels: channels, length: length)
    let count = runs.reduce(0, +)
    var generator = SeededGenerator(seed: 31)
    let history = generator.normal(before * channels)
    let (inputs, factors) = (generator.normal(count * channels), generator.normal(count * channels))
    if before > 0 { _ = stream.read(history[...]) }

    let gradients = Gradients()
    let lags = Matrix(stream.lags, rows: length, columns: channels)
    let filter = try FourierFilter(channels: channels, stages: 1, length: length, .explicit(lags))
    let arena = Arena(byteCount: 8 * 4 * (count + 64) * (channels + 16))
    let dlags = gradients.adopt(lags.storage)
    gradients.adopt(arena.storage)
    let dstate = gradients.adopt(stream.state.storage)
    let tape = Tape(gradients)
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 1), compute: .fp32)
    let operations = Operations(kernels: kernels, arena: arena, tape: tape)
    let start = stream.state.copy()

    let x = arena.matrix(rows: count, columns: channels)
    x.copy(from: Matrix(inputs, rows: count, columns: channels))
    var outputs: [Matrix] = []
    var first = 0
    for run in runs {
      let position = Int64(before + first)
      let prepared = filter.prepared(for: run, at: position, operations)
      outputs.append(
        filter.convolve(
          x.rows(first..<first + run), stage: 0, prepared: prepared,
          state: MixerState(state: stream.state, regions: stream.regions), first: 0, position: position, operations))
      first += run
    }
    gradients.clear(arena.storage, 0..<arena.mark())
    first = 0
    for y in outputs {
      let part = Array(factors[first * channels..<(first + y.rows) * channels])
      gradients.of(y).copy(from: Matrix(part, rows: y.rows, columns: channels))
      first += y.rows
    }
    try tape.backward()

    let all = history + inputs
    func factor(_ token: Int, _ channel: Int) -> Double {
      token < before ? 0 : Double(factors[(token - before) * channels + channel])
    }
    var (dx, dh) = ([Float](), [Float]())
    let end = before + count
    for token in before..<end {
      for channel in 0..<channels {
        var sum = 0.0
        for later in token..<min(end, token + length) {
          sum += factor(later, channel) * Double(stream.lags[(later - token) * channels + channel])
        }
        dx.append(Float(sum))
      }
    }
    // A tile that was computed before the tape began is a part of the state, and no gradient goes through it.
    func isOnTape(_ input: Int, _ output: Int) -> Bool {
      if output - input < Tiling.base { return true }
      let first = (input / Tiling.base + 1) * Tiling.base
      let boundary = stride(from: first, through: output, by: Tiling.base).first { place in
        let tile = filter.tiling.tile(at: Int64(place))
        return input >= place - tile.inputs.count && output < place + tile.outputs.count
      }
      return boundary.map { $0 >= before } ?? true
    }
    for lag in 0..<length {
      for channel in 0..<channels {
        var sum = 0.0
        for token in max(before, lag)..<max(before, lag, end) where isOnTape(token - lag, token) {
          sum += factor(token, channel) * Double(all[(token - lag) * channels + channel])
        }
        dh.append(Float(sum))
      }
    }
    expectClose(gradients.of(x).array(), dx, "inputs", within: 2e-6)
    expectClose(lags.twin(in: dlags).array(), dh, "taps", within: 2e-6)

    // Moving the state that the run began with moves the loss as its gradient says: outputs are linear in what is kept.
    guard before > 0 else { return }
    let moved = start.copy()
    var expected = 0.0
    for region in stream.regions {
      let (values, slopes) = (moved.matrix(region), Matrix(dstate, offset: region.offset, rows: 1, columns: region.count).array())
      let steps = generator.normal(region.count, scale: 0.5)
      expected += zip(slopes, steps).reduce(0) { $0 + Double($1.0) * Double($1.1) }
      values.copy(from: Matrix(zip(values.array(), steps).map { $0 + $1 }, rows: values.rows, columns: values.columns))
    }
    func loss(_ state: ModelState) -> Double {
      stream.state.assign(state)
      return zip(stream.read(inputs[...]), factors).reduce(0) { $0 + Double($1.0) * Double($1.1) }
    }
    let difference = loss(moved) - loss(start)
    #expect(abs(difference - expected) < 2e-4 * max(1, abs(difference)), "\(difference) where \(expected) was expected")
  }
}
