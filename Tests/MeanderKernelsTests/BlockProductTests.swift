import CMeanderKernels
import MeanderKernels
import MeanderTestSupport
import Testing

extension meander_block_kind {
  static let all: [meander_block_kind] = [
    .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q2_k, .q3_k, .q4_k, .q5_k, .q6_k, .iq4_nl, .iq4_xs,
  ]

  var layout: meander_block_layout { meander_layout_of_blocks(self).pointee }

  /// Where in a block the halves are that all scales are multiples of.
  private var halves: [Int] {
    switch self {
    case .q4_1, .q5_1, .q4_k, .q5_k: [0, 2]
    case .q2_k: [80, 82]
    case .q3_k: [108]
    case .q6_k: [208]
    default: [0]
    }
  }

  /// Random blocks whose scales are ordinary numbers.
  func blocks(_ count: Int, using generator: inout SeededGenerator) -> [UInt8] {
    let size = layout.byte_count
    var bytes = (0..<count * size).map { _ in UInt8.random(in: 0...255, using: &generator) }
    for block in 0..<count {
      for half in halves { bytes[block * size + half + 1] = bytes[block * size + half + 1] & 0x83 | 0x20 }
    }
    return bytes
  }
}

@Suite struct BlockProductTests {
  /// A weight packed from random blocks, and its values.
  private func weight(_ kind: meander_block_kind, outputs: Int, inner: Int) -> (packed: PackedMatrix, values: Matrix) {
    var generator = SeededGenerator(seed: UInt64(kind.rawValue) + 1)
    let blocks = inner / kind.layout.count
    let values = Matrix(rows: outputs, columns: inner)
    let packed = PackedMatrix(outputs: outputs, inner: inner, blocks: kind) { output, bytes in
      bytes = kind.blocks(blocks, using: &generator)
      var row = [Float](repeating: 0, count: inner)
      meander_widen_blocks(kind, bytes, blocks, &row)
      values.rows(output..<output + 1).copy(from: Matrix(row, rows: 1, columns: inner))
    }
    return (packed, values)
  }

  private func run(
    _ x: Matrix, _ weight: PackedMatrix, on kernels: Kernels, bias: Matrix? = nil, adding start: Matrix? = nil
  ) -> Matrix {
    let y = Matrix(rows: x.rows, columns: weight.outputs)
    y.fill(.nan)
    if let start { y.copy(from: start) }
    kernels.product(x, weight, bias: bias, into: y, adding: start != nil)
    return y
  }

  @Test(arguments: meander_block_kind.all, everyTable)
  func `has the reference's bits`(kind: meander_block_kind, table: KernelTable) throws {
    let (weight, _) = weight(kind, outputs: 87, inner: 512)
    let bias = Matrix.random(1, 87, seed: 2)
    let reference = try KernelTable.named("scalar")
    for rows in [1, 2, 3, 7, 26] {
      let x = Matrix.random(rows, 512, seed: 3)
      let start = Matrix.random(rows, 87, seed: 4)
      for compute in [Compute.int8, .fp32] {
        let plain = run(x, weight, on: kernels(table, compute: compute))
        #expect(bits(plain) == bits(run(x, weight, on: kernels(reference, compute: compute))), "\(rows) rows, \(compute)")
        let added = run(x, weight, on: kernels(table, compute: compute), bias: bias, adding: start)
        let expected = run(x, weight, on: kernels(reference, compute: compute), bias: bias, adding: start)
        #expect(bits(added) == bits(expected), "\(rows) rows, \(compute)")
      }
    }
  }

  /// fp32: the very bits of the product of the same weight widened beforehand.
  @Test(arguments: meander_block_kind.all) func `float activations meet the values`(kind: meander_block_kind) {
    let (weight, values) = weight(kind, outputs: 40, inner: 768)
    let x = Matrix.random(9, 768, seed: 5)
    #expect(bits(run(x, weight, on: kernels())) == bits(run(x, PackedMatrix(values), on: kernels())))
    let row = Matrix(rows: 1, columns: 768)
    weight.row(17, into: row)
    #expect(bits(row) == bits(values.rows(17..<18)))
    let embedded = Matrix(rows: 2, columns: 768)
    kernels().embed([39, 0], weight, into: embedded)
    #expect(bits(embedded) == bits(values.rows(39..<40)) + bits(values.rows(0..<1)))
  }

  /// int8: nothing is lost but by rounding the activations, at most half a step of 1/127 of the largest of 32.
  @Test(arguments: meander_block_kind.all) func `rounding costs what rounding costs`(kind: meander_block_kind) {
    let (weight, values) = weight(kind, outputs: 40, inner: 768)
    let x = Matrix.random(9, 768, seed: 6)
    let exact = run(x, PackedMatrix(values), on: kernels()).array()
    let rounded = Matrix(rows: 9, columns: 768)
    for row in 0..<9 {
      for block in 0..<24 {
        let numbers = (0..<32).map { x[row, 32 * block + $0] }
        let scale = (numbers.map(abs).max() ?? 0) / 127
        for (k, number) in numbers.enumerated() {
          rounded[row, 32 * block + k] = (number / scale).rounded(.toNearestOrEven) * scale
        }
      }
    }
    let y = run(x, weight, on: kernels(compute: .int8)).array()
    expectClose(y, run(rounded, PackedMatrix(values), on: kernels()).array(), "rounded activations", within: 2e-3)
    expectClose(y, exact, "activations as they are", within: 2e-2)
  }

  @Test(arguments: [meander_block_kind.q4_0, .q4_1, .q8_0, .q6_k])
  func `a row's bits depend on neither its company nor the team`(kind: meander_block_kind) {
    for outputs in [150, 1500] {
      let (weight, _) = weight(kind, outputs: outputs, inner: 512)
      let x = Matrix.random(100, 512, seed: 7)
      let all = run(x, weight, on: kernels(compute: .int8))
      for threads in [2, 3] { #expect(bits(run(x, weight, on: kernels(threads: threads, compute: .int8))) == bits(all)) }
      for rows in [0..<1, 7..<9, 20..<23, 30..<97] {
        #expect(bits(run(x.rows(rows), weight, on: kernels(compute: .int8))) == bits(all.rows(rows)))
      }
    }
  }

  /// Zeros, numbers too small to be scaled, and numbers that are none.
  @Test(arguments: everyTable) func `odd activations do no harm`(table: KernelTable) {
    let (weight, _) = weight(.q8_0, outputs: 16, inner: 32)
    func result(_ value: Float) -> [Float] {
      let x = Matrix(rows: 1, columns: 32)
      x[0, 3] = value
      return run(x, weight, on: kernels(table, compute: .int8)).array()
    }
    #expect(result(0).allSatisfy { $0 == 0 })
    #expect(result(1e-40).allSatisfy { $0 == 0 })
    #expect(result(.nan).allSatisfy { $0.isNaN })
    #expect(result(.infinity).allSatisfy { !$0.isFinite })
  }
}
