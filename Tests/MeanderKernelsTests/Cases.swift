import MeanderKernels
import MeanderTestSupport
import Testing

/// Every table of this CPU, and the sources of the others at their widths.
let everyTable = KernelTable.all + KernelTable.forTests

extension KernelTable: CustomTestStringConvertible {
  public var testDescription: String { name }
}

func kernels(_ table: KernelTable = .best, threads: Int = 1, compute: Compute = .fp32) -> Kernels {
  Kernels(table: table, team: WorkerTeam(threads: threads), compute: compute)
}

extension Matrix {
  /// A view of random numbers in the middle of a wider matrix, so that its stride is not its width.
  static func random(_ rows: Int, _ columns: Int, seed: UInt64, scale: Float = 1) -> Matrix {
    var generator = SeededGenerator(seed: seed)
    return Matrix(generator.normal(rows * (columns + 5), scale: scale), rows: rows, columns: columns + 5)
      .columns(3..<(columns + 3))
  }

  /// The same numbers, contiguous and apart.
  func copied() -> Matrix { Matrix(array(), rows: rows, columns: columns) }
}

extension PackedMatrix {
  convenience init(_ values: Matrix, element: Element = .fp32) {
    self.init(outputs: values.rows, inner: values.columns, element: element, table: .best) { output, row in
      row = values.rows(output..<(output + 1)).array()
    }
  }
}

/// The bits of each number; every NaN counts as the same.
func bits(_ values: [Float]) -> [UInt32] { values.map { $0.isNaN ? 0x7fc0_0000 : $0.bitPattern } }
func bits(_ values: Matrix) -> [UInt32] { bits(values.array()) }
func bits(_ values: [Double]) -> [UInt64] { values.map { $0.isNaN ? 0 : $0.bitPattern } }
