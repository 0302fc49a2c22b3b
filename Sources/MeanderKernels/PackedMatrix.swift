import CMeanderKernels

/// A weight of `outputs × inner`, packed once into what the product reads: panels of 16 outputs, [panel][inner][16],
/// or for bf16 [panel][inner / 2][16][2]; what is missing of the last panel is zeros. Immutable.
package final class PackedMatrix: Sendable {
  /// How the weight is stored. A weight that came as bf16 loses nothing as bf16.
  package enum Element: Sendable { case fp32, bf16 }

  package let outputs: Int
  package let inner: Int
  package let element: Element
  let storage: Storage

  /// Bytes that the packed weight takes.
  package var byteCount: Int { storage.byteCount }

  /// Bytes that a weight of this shape takes once packed, or nil if no address could count them.
  package static func byteCount(outputs: Int, inner: Int, element: Element) -> Int? {
    guard outputs >= 0, inner >= 0, outputs < Int.max - 15, inner < Int.max else { return nil }
    let padded = element == .bf16 ? inner + inner % 2 : inner
    let (count, overflows) = ((outputs + 15) / 16 * 16).multipliedReportingOverflow(by: padded)
    let (bytes, overflowsAgain) = count.multipliedReportingOverflow(by: element == .bf16 ? 2 : 4)
    return overflows || overflowsAgain ? nil : bytes
  }

  /// Packs the rows that `row` writes, one output after the other; `values` arrives with `inner` zeros.
  package init(
    outputs: Int, inner: Int, element: Element, table: KernelTable,
    row: (_ output: Int, _ values: inout [Float]) throws -> Void
  ) rethrows {
    guard let bytes = PackedMatrix.byteCount(outputs: outputs, inner: inner, element: element) else {
      preconditionFailure("a weight of \(outputs) × \(inner)")
    }
    self.outputs = outputs
    self.inner = inner
    self.element = element
    storage = Storage(byteCount: bytes)
    var values = [Float](repeating: 0, count: inner)
    for output in 0..<outputs {
      try row(output, &values)
      precondition(values.count == inner, "a row of \(values.count) values for an inner dimension of \(inner)")
      // Safe: the storage holds all panels of this shape, and the row has `inner` values.
      meander_pack_row(storage.base, element == .bf16, inner, output, values)
    }
  }

  /// Packs the rows of matrices of one width, one matrix after the other, in fp32.
  package convenience init(_ sources: [Matrix], table: KernelTable) {
    let inner = sources.first?.columns ?? 0
    precondition(sources.allSatisfy { $0.columns == inner }, "rows of different widths")
    self.init(outputs: sources.reduce(0) { $0 + $1.rows }, inner: inner)
    var output = 0
    for source in sources {
      for row in 0..<source.rows {
        // Safe: the storage holds all panels of this shape, and the row has `inner` values.
        meander_pack_row(storage.base, false, inner, output, source.base + row * source.stride)
        output += 1
      }
    }
  }

  private init(outputs: Int, inner: Int) {
    guard let bytes = PackedMatrix.byteCount(outputs: outputs, inner: inner, element: .fp32) else {
      preconditionFailure("a weight of \(outputs) × \(inner)")
    }
    (self.outputs, self.inner, element) = (outputs, inner, .fp32)
    storage = Storage(byteCount: bytes)
  }

  /// Writes row `output`, as it is stored, into a matrix of 1 × inner.
  package func row(_ output: Int, into row: Matrix) {
    precondition(output >= 0 && output < outputs && row.rows == 1 && row.columns == inner)
    // Safe: the row lies inside the packed panels, the target holds `inner` floats.
    meander_unpack_row(storage.base, element == .bf16, inner, output, row.base)
  }
}
