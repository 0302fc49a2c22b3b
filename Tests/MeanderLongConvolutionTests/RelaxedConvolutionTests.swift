import MeanderErrors
import MeanderKernels
import MeanderLongConvolution
import MeanderModels
import MeanderTestSupport
import Testing

/// One long convolution with explicit taps, outside of a model.
struct Stream {
  let filter: FourierFilter
  let state: ModelState
  let regions: [StateRegion]
  private let kernels: Kernels
  let lags: [Float]

  init(channels: Int, length: Int, threads: Int = 1, seed: UInt64 = 3) throws {
    var generator = SeededGenerator(seed: seed)
    lags = generator.normal(length * channels, scale: 1 / Float(length).squareRoot())
    filter = try FourierFilter(
      channels: channels, stages: 1, length: length, .explicit(Matrix(lags, rows: length, columns: channels)))
    var layout = StateLayout()
    regions = filter.declareState(in: &layout, layer: "layers.0", stage: 0)
    state = ModelState(layout: layout)
    kernels = Kernels(table: .best, team: WorkerTeam(threads: threads), compute: .fp32)
  }

  /// What follows for more rows of input, T × C.
  func read(_ rows: ArraySlice<Float>, form: RecurrenceForm = .scan) -> [Float] {
    let count = rows.count / filter.channels
    let arena = Arena(byteCount: 2 * 4 * count * (filter.channels + 16) + 4096)
    let operations = Operations(kernels: kernels, arena: arena, form: form)
    let y = filter.convolve(
      Matrix(Array(rows), rows: count, columns: filter.channels), stage: 0, prepared: nil,
      state: MixerState(state: state, regions: regions), first: 0, position: state.position, operations)
    state.setPosition(state.position + Int64(count))
    return y.array()
  }

  func read(_ rows: [Float], cut: [Int]) -> [Float] {
    var (rest, sizes, result) = (rows[...], cut[...], [Float]())
    while !rest.isEmpty {
      let piece = rest.prefix((sizes.popFirst() ?? rest.count) * filter.channels)
      result += read(piece)
      rest = rest.dropFirst(piece.count)
    }
    return result
  }

  /// y[t] = Σ h[s]·x[t - s] of one channel and token, in double precision.
  func definition(_ rows: [Float], token: Int, channel: Int) -> Float {
    let channels = filter.channels
    let sum = (0..<min(filter.tiling.length, token + 1)).reduce(0.0) {
      $0 + Double(lags[$1 * channels + channel]) * Double(rows[(token - $1) * channels + channel])
    }
    return Float(sum)
  }
}

@Suite struct RelaxedConvolutionTests {
  /// Filters below, at and above the direct lags and powers of two, over several periods and over less than one.
  @Test(arguments: [2, 100, 128, 129, 130, 256, 257, 600, 1025], [1, 127, 128, 700, 3000])
  func agreesWithTheDefinition(length: Int, count: Int) throws {
    let stream = try Stream(channels: 3, length: length)
    var generator = SeededGenerator(seed: 8)
    let rows = generator.normal(count * 3)
    let reference = (0..<count).flatMap { token in (0..<3).map { stream.definition(rows, token: token, channel: $0) } }
    expectClose(stream.read(rows[...]), reference, "length \(length)", within: 1e-6)
  }

  /// 200,000 tokens through a filter of 2^16 lags and more; the last block is held against the definition. The history is not empty
  /// there, and every size of tile has been at work.
  @Test func aLongHistoryAgreesWithTheDefinition() throws {
    let (count, length) = (200_000, 100_000)
    let stream = try Stream(channels: 1, length: length)
    var generator = SeededGenerator(seed: 9)
    let rows = generator.normal(count)
    _ = stream.read(rows[..<(count - 1000)])
    let last = stream.read(rows[(count - 1000)...])
    let places = Array(stride(from: 0, to: 1000, by: 29))
    expectClose(
      places.map { last[$0] }, places.map { stream.definition(rows, token: count - 1000 + $0, channel: 0) }, "the end",
      within: 1e-6)
  }

  /// An input and an output at least B and less than K lags apart meet in one tile; no tile holds a pair of other sides.
  @Test(arguments: [129, 600, 4000]) func everyPairMeetsOnce(length: Int) {
    let tiling = Tiling(length: length)
    let (count, base) = (3 * tiling.period, Tiling.base)
    // Blocks of B inputs and of B outputs meet as a whole.
    var meetings = [Int](repeating: 0, count: count / base * count / base)
    for boundary in stride(from: base, to: count, by: base) {
      let tile = tiling.tile(at: Int64(boundary))
      #expect(tile.inputs.count % tile.outputs.count == 0 && tile.outputs.lowerBound == boundary % tiling.period)
      for input in stride(from: boundary - tile.inputs.count, to: boundary, by: base) {
        for output in stride(from: boundary, to: min(count, boundary + tile.outputs.count), by: base) {
          meetings[input / base * (count / base) + output / base] += 1
        }
      }
    }
    for input in 0..<count / base {
      for output in 0..<count / base {
        let times = meetings[input * (count / base) + output]
        // The pairs of two blocks are from one lag more than those of the blocks before to one less than of those behind.
        let isNeeded = output > input && (output - input - 1) * base + 1 < length
        #expect(isNeeded ? times == 1 : times <= (output > input ? 1 : 0), "\(input) to \(output)")
      }
    }
  }

  @Test func theTransformsAgreeWithDirectTiles() throws {
    var generator = SeededGenerator(seed: 10)
    let rows = generator.normal(2500 * 2)
    let (fast, naive) = (try Stream(channels: 2, length: 700), try Stream(channels: 2, length: 700))
    expectClose(fast.read(rows[...]), naive.read(rows[...], form: .naive), "tiles", within: 1e-6)
  }

  /// One token at a time, and in pieces that end at, before and behind every kind of boundary.
  @Test(arguments: [
    Array(repeating: 1, count: 2600), [128, 128, 256, 1, 511, 1024], [127, 2, 255, 1, 640], [2599, 1], Array(repeating: 129, count: 21),
  ])
  func everyCutGivesTheSameBits(cut: [Int]) throws {
    var generator = SeededGenerator(seed: 11)
    let rows = generator.normal(2600 * 5)
    let (whole, parts) = (try Stream(channels: 5, length: 900), try Stream(channels: 5, length: 900, threads: 3))
    #expect(whole.read(rows[...]) == parts.read(rows, cut: cut))
    #expect(whole.state.layout.regions.allSatisfy { whole.state.bytes(of: $0) == parts.state.bytes(of: $0) })
  }

  /// The same over several levels of tiles and more than a period.
  @Test func everyCutOfALongStreamGivesTheSameBits() throws {
    let count = 21_000
    var generator = SeededGenerator(seed: 14)
    let rows = generator.normal(count * 2)
    let (whole, parts) = (try Stream(channels: 2, length: 6000), try Stream(channels: 2, length: 6000))
    var cut: [Int] = []
    while cut.reduce(0, +) < count { cut.append(1 + Int(generator.next() % (cut.count % 3 == 0 ? 5000 : 300))) }
    #expect(whole.read(rows[...]) == parts.read(rows, cut: cut))
    #expect(whole.state.layout.regions.allSatisfy { whole.state.bytes(of: $0) == parts.state.bytes(of: $0) })
  }

  /// What a stream keeps follows from the filter's length alone: P numbers a channel, and two blocks.
  @Test func memoryIsTheFilters() throws {
    let stream = try Stream(channels: 4, length: 5000)
    let expected = 4 * (8192 + 2 * 128) * 4
    #expect(stream.state.layout.byteCount == expected)
  }

  /// The public stream is the same convolution, in any pieces, and forgets what it is told to.
  @Test func aStreamOfItsOwnIsTheSame() throws {
    let inner = try Stream(channels: 3, length: 700)
    let outer = try StreamingConvolution(inner.lags, channels: 3, threads: 2)
    var generator = SeededGenerator(seed: 13)
    let rows = generator.normal(5000 * 3)
    let expected = inner.read(rows[...])
    #expect(outer.read(Array(rows[..<3300])) + outer.read(Array(rows[3300...])) == expected)
    #expect(outer.position == 5000 && outer.stateByteCount == inner.state.layout.byteCount)
    outer.reset()
    #expect(outer.read(rows) == expected)
    #expect(throws: MeanderError.self) { try StreamingConvolution([1, 2, 3], channels: 2) }
  }

  /// A copy of the state goes on as the original does, and its own way when it reads something else.
  @Test func aForkIsACopyOfTheState() throws {
    var generator = SeededGenerator(seed: 12)
    let (start, rest, other) = (generator.normal(700 * 2), generator.normal(900 * 2), generator.normal(900 * 2))
    let whole = try Stream(channels: 2, length: 800)
    _ = whole.read(start[...])
    let kept = whole.state.copy()
    let first = whole.read(rest[...])
    whole.state.assign(kept)
    _ = whole.read(other[...])
    whole.state.assign(kept)
    #expect(whole.read(rest[...]) == first)
  }
}
