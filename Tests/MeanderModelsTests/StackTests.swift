import Glibc
import MeanderErrors
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// A stack of everything that stands around mixers: both norms, positions, biases, multipliers, a cap on the logits.
@Suite struct StackTests {
  private static let (vocabulary, width, inner, length) = (7, 6, 9, 5)

  private static func build(_ reader: WeightReader) throws -> Blocks {
    let plain = try FeedForwardMixer(
      .init(width: width, inner: inner, activation: .gelu, hasBias: true),
      .init(gate: nil, up: "0.up", down: "0.down"), from: reader)
    let gated = try FeedForwardMixer(
      .init(width: width, inner: inner, activation: .silu), .init(gate: "1.gate", up: "1.up", down: "1.down"), from: reader)
    return Blocks(
      embedding: try reader.weight("embedding", outputs: vocabulary, inner: width), embeddingScale: 3,
      positions: try reader.weight("positions", outputs: 8, inner: width),
      steps: [
        Block(
          layer: 0, norm: try reader.layerNorm("0.norm.", width: width, epsilon: 1e-3), mixer: plain,
          outputNorm: try reader.rootMeanSquareNorm("0.after", width: width, epsilon: 1e-3, offset: 1), scale: 0.5),
        Block(layer: 0, norm: nil, mixer: gated),
      ],
      finalNorm: try reader.rootMeanSquareNorm("final", width: width, epsilon: 1e-3),
      head: OutputHead(try reader.weight("head", outputs: vocabulary, inner: width), scale: 1.5, cap: 2))
  }

  private static func parameters() throws -> Parameters {
    let parameters = Parameters(try WeightReader.declarations(of: build))
    var generator = SeededGenerator(seed: 3)
    for entry in parameters.entries {
      parameters.matrix(entry).copy(
        from: Matrix(generator.normal(entry.count, scale: 0.6), rows: entry.rows, columns: entry.columns))
    }
    return parameters
  }

  /// The mean surprise of `targets`, as the papers write it, in double precision.
  private static func loss(_ values: [String: [Double]], _ ids: [Int32], _ targets: [Int32], first: Int) -> Double {
    func product(_ x: [Double], _ name: String, _ outputs: Int, bias: String? = nil) -> [Double] {
      let weight = values[name] ?? []
      return (0..<outputs).map { output in
        let sum = x.indices.reduce(0) { $0 + x[$1] * weight[output * x.count + $1] }
        return sum + (bias.flatMap { values[$0]?[output] } ?? 0)
      }
    }
    func rootMeanSquare(_ x: [Double], _ name: String, offset: Double = 0) -> [Double] {
      let scale = 1 / (x.reduce(0) { $0 + $1 * $1 } / Double(x.count) + 1e-3).squareRoot()
      return x.indices.map { x[$0] * scale * ((values[name]?[$0] ?? 0) + offset) }
    }
    var total = 0.0
    for (place, id) in ids.enumerated() {
      var x = (0..<width).map { 3 * values["embedding"]![Int(id) * width + $0] + values["positions"]![(first + place) * width + $0] }
      let mean = x.reduce(0, +) / Double(width)
      let scale = 1 / (x.reduce(0) { $0 + ($1 - mean) * ($1 - mean) } / Double(width) + 1e-3).squareRoot()
      let normed = x.indices.map { (x[$0] - mean) * scale * values["0.norm.weight"]![$0] + values["0.norm.bias"]![$0] }
      let bent = product(normed, "0.up.weight", inner, bias: "0.up.bias").map { $0 * 0.5 * (1 + erf($0 / 2.0.squareRoot())) }
      let after = rootMeanSquare(product(bent, "0.down.weight", width, bias: "0.down.bias"), "0.after", offset: 1)
      for k in x.indices { x[k] += 0.5 * after[k] }
      let opened = product(x, "1.gate.weight", inner).map { $0 / (1 + exp(-$0)) }
      let gated = zip(opened, product(x, "1.up.weight", inner)).map { $0 * $1 }
      let added = product(gated, "1.down.weight", width)
      for k in x.indices { x[k] += added[k] }
      let logits = product(rootMeanSquare(x, "final"), "head", vocabulary).map { 2 * tanh(1.5 * $0 / 2) }
      total += log(logits.reduce(0) { $0 + exp($1) }) - logits[Int(targets[place])]
    }
    return total / Double(ids.count)
  }

  @Test(arguments: [0, 3], [false, true])
  func theLossAndEveryGradientAreThePapers(first: Int, recomputes: Bool) throws {
    let (ids, targets): ([Int32], [Int32]) = ([1, 6, 0, 3, 3], [2, 5, 6, 0, 4])
    let stack = try TapedStack(
      Self.parameters(), ids: ids, targets: targets, runs: [0..<5], first: first, scale: 0.2, recomputes: recomputes,
      build: Self.build)
    #expect(abs(stack.loss / 5 - Self.loss(stack.values, ids, targets, first: first)) < 1e-5)
    for entry in stack.parameters.entries {
      let slopes = stack.slopes(of: entry) { Self.loss($0, ids, targets, first: first) }
      expectClose(stack.gradient(of: entry), slopes, entry.name)
    }
  }

  /// A table of learned positions ends a stream where it ends, and says so.
  @Test func aTableOfPositionsHasAnEnd() throws {
    var blocks = try WeightReader.build(from: Self.parameters(), table: .best, Self.build)
    let capacity = try #require(blocks.capacity)
    #expect(capacity.tokens == 8)
    try capacity.hold(3, 5, of: "it")
    let error = #expect(throws: MeanderError.self) { try capacity.hold(3, 6, of: "it") }
    #expect(error?.code == .limit && error?.what.contains("the table of learned positions holds 8 tokens") == true)
    #expect(error?.remedy?.contains("shorter input") == true)
    blocks.positions = nil
    #expect(blocks.capacity == nil)
  }

  /// Without a tape, in one piece and in two: the same bits.
  @Test func theCutDoesNotMatter() throws {
    let parameters = try Self.parameters()
    let blocks = try WeightReader.build(from: parameters, table: .best, Self.build)
    var layout = StateLayout()
    let regions = blocks.declareState(in: &layout)
    let kernels = Kernels(table: .best, team: WorkerTeam(threads: 2), compute: .fp32)
    let ids: [Int32] = [1, 6, 0, 3, 3]
    func rows(_ piece: ArraySlice<Int32>) -> [UInt32] {
      let state = ModelState(layout: layout)
      let operations = Operations(kernels: kernels, arena: Arena(byteCount: 1 << 20))
      let hidden = blocks.forward(
        piece, position: Int64(piece.startIndex), state: { MixerState(state: state, regions: regions[$0]) },
        outputs: piece.count, operations)
      return operations.logits(hidden, blocks.head).array().map(\.bitPattern)
    }
    #expect(rows(ids[...]) == rows(ids[..<2]) + rows(ids[2...]))
  }
}
