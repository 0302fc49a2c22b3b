import MeanderKernels
import MeanderTestSupport
import Testing

@Suite struct ProductTests {
  static let shapes = [1, 15, 17, 294].flatMap { outputs in [1, 3, 48].map { (outputs, $0) } } + [(33, 901)]

  func run(
    _ x: Matrix, _ weight: PackedMatrix, on kernels: Kernels, bias: Matrix? = nil, adding start: Matrix? = nil
  ) -> Matrix {
    let y = Matrix(rows: x.rows, columns: weight.outputs)
    y.fill(.nan)
    if let start { y.copy(from: start) }
    kernels.product(x, weight, bias: bias, into: y, adding: start != nil)
    return y
  }

  @Test(arguments: shapes, everyTable)
  func `has the reference's bits`(shape: (outputs: Int, inner: Int), table: KernelTable) throws {
    let values = Matrix.random(shape.outputs, shape.inner, seed: 1)
    let bias = Matrix.random(1, shape.outputs, seed: 2)
    let reference = kernels(try .named("scalar"))
    for element in [PackedMatrix.Element.fp32, .bf16] {
      let weight = PackedMatrix(values, element: element)
      for rows in [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 25] {
        let x = Matrix.random(rows, shape.inner, seed: 3)
        let start = Matrix.random(rows, shape.outputs, seed: 4)
        #expect(bits(run(x, weight, on: kernels(table))) == bits(run(x, weight, on: reference)), "\(rows) rows")
        let added = run(x, weight, on: kernels(table), bias: bias, adding: start)
        #expect(bits(added) == bits(run(x, weight, on: reference, bias: bias, adding: start)), "\(rows) rows")
        let rounded = run(x, weight, on: kernels(table, compute: .bf16))
        let expected = run(x, weight, on: kernels(reference.table, compute: .bf16))
        if table.name == "avx512bf16" {
          expectClose(rounded.array(), expected.array(), "bf16 product of \(rows) rows", within: 1e-5)
        } else {
          #expect(bits(rounded) == bits(expected), "\(rows) rows")
        }
      }
    }
  }

  @Test(arguments: Compute.allCases) func `a row's bits depend on neither its company nor the team`(compute: Compute) {
    let weight = PackedMatrix(.random(150, 300, seed: 1), element: .bf16)
    let small = PackedMatrix(.random(33, 20, seed: 2))
    for weight in [weight, small] {
      let x = Matrix.random(400, weight.inner, seed: 3)
      let all = run(x, weight, on: kernels(compute: compute))
      for threads in [2, 3, 5] {
        #expect(bits(run(x, weight, on: kernels(threads: threads, compute: compute))) == bits(all))
      }
      for rows in [0..<1, 7..<9, 20..<23, 100..<113, 5..<205] {
        #expect(bits(run(x.rows(rows), weight, on: kernels(compute: compute))) == bits(all.rows(rows)))
      }
    }
  }

  @Test(arguments: [0, 1, 2, 5]) func `agrees with double precision`(rows: Int) {
    let (values, bias) = (Matrix.random(40, 70, seed: 1), Matrix.random(1, 40, seed: 2))
    let (x, start) = (Matrix.random(rows, 70, seed: 3), Matrix.random(rows, 40, seed: 4))
    let y = run(x, PackedMatrix(values), on: kernels(threads: 2), bias: bias, adding: start)
    guard rows > 0 else { return #expect(y.array().isEmpty) }
    let expected = (0..<rows * 40).map { place in
      let (row, output) = (place / 40, place % 40)
      let sum = (0..<70).reduce(0.0) { $0 + Double(x[row, $1]) * Double(values[output, $1]) }
      return sum + Double(bias[0, output]) + Double(start[row, output])
    }
    expectClose(y.array().map(Double.init), expected, "product", within: 1e-6)
  }

  @Test func `bf16 rounds both sides to even, and only where asked`() {
    let x = Matrix([1 + 0x1p-8, 1 + 0x1.8p-7, 3], rows: 1, columns: 3)
    let rounded: [Float] = [1, 1 + 0x1p-6, 3]
    for column in 0..<3 {
      let weight = PackedMatrix(Matrix((0..<3).map { $0 == column ? 1 : 0 }, rows: 1, columns: 3), element: .bf16)
      #expect(run(x, weight, on: kernels(compute: .bf16)).array() == [rounded[column]])
      #expect(run(x, weight, on: kernels(compute: .fp32)).array() == [x[0, column]])
    }
    let packed = PackedMatrix(x, element: .bf16)
    let row = Matrix(rows: 1, columns: 3)
    packed.row(0, into: row)
    #expect(row.array() == rounded)
  }

  @Test(arguments: [PackedMatrix.Element.fp32, .bf16])
  func `embeds the rows that were packed`(element: PackedMatrix.Element) {
    let values = Matrix((0..<20 * 7).map { Float($0) }, rows: 20, columns: 7)
    let y = Matrix(rows: 3, columns: 7)
    kernels().embed([19, 0, 16], PackedMatrix(values, element: element), into: y)
    #expect(y.array() == [19, 0, 16].flatMap { values.rows($0..<($0 + 1)).array() })
  }
}
