import CMeanderKernels

/// A weight of `outputs × inner`, packed once into what the product reads: panels of 16 outputs, [panel][inner][16],
/// for bf16 [panel][inner / 2][16][2], or for quantised blocks as CMeanderBlocks.h tells; what is missing of the last panel is
/// zeros. Immutable.
package final class PackedMatrix: Sendable {
  /// How the weight is stored. A weight that came as bf16 loses nothing as bf16, and blocks lose nothing as blocks.
  package enum Element: Sendable, Equatable { case fp32, bf16, blocks(meander_block_kind) }

  package let outputs: Int
  package let inner: Int
  package let element: Element
  let storage: Storage
  /// How the blocks are laid out, where there are any.
  // Safe as Sendable: a constant of the program.
  nonisolated(unsafe) let layout: UnsafePointer<meander_block_layout>?

  /// Bytes that the packed weight takes.
  package var byteCount: Int { storage.byteCount }

  /// Bytes that a weight of this shape takes once packed, or nil if no address could count them.
  package static func byteCount(outputs: Int, inner: Int, element: Element) -> Int? {
    guard outputs >= 0, inner >= 0, outputs < Int.max - 15, inner < Int.max / 64 else { return nil }
    if case .blocks(let kind) = element {
      // Safe: a constant of the program.
      let panel = meander_bytes_of_panel(meander_layout_of_blocks(kind), inner)
      let (bytes, overflows) = ((outputs + 15) / 16).multipliedReportingOverflow(by: panel)
      return overflows ? nil : bytes
    }
    let padded = element == .bf16 ? inner + inner % 2 : inner
    let (count, overflows) = ((outputs + 15) / 16 * 16).multipliedReportingOverflow(by: padded)
    let (bytes, overflowsAgain) = count.multipliedReportingOverflow(by: element == .bf16 ? 2 : 4)
    return overflows || overflowsAgain ? nil : bytes
  }

  /// Packs the rows that `row` writes, one output after the other; `values` arrives with `inner` zeros.
  package convenience init(
    outputs: Int, inner: Int, element: Element, table: KernelTable,
    row: (_ output: Int, _ values: inout [Float]) throws -> Void
  ) rethrows {
    precondition(element == .fp32 || element == .bf16, "blocks are packed from blocks")
    self.init(outputs: outputs, inner: inner, element: element)
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
    self.init(outputs: sources.reduce(0) { $0 + $1.rows }, inner: inner, element: .fp32)
    var output = 0
    for source in sources {
      for row in 0..<source.rows {
        // Safe: the storage holds all panels of this shape, and the row has `inner` values.
        meander_pack_row(storage.base, false, inner, output, source.base + row * source.stride)
        output += 1
      }
    }
  }

  /// Packs rows of quantised blocks as `row` gives them: the bytes that a file holds, losing nothing. `inner` is a whole number of
  /// blocks.
  package convenience init(
    outputs: Int, inner: Int, blocks kind: meander_block_kind,
    row: (_ output: Int, _ bytes: inout [UInt8]) throws -> Void
  ) rethrows {
    self.init(outputs: outputs, inner: inner, element: .blocks(kind))
    // Safe: a constant of the program.
    let layout = meander_layout_of_blocks(kind)
    let (count, byteCount, run) = (layout.pointee.count, layout.pointee.byte_count, layout.pointee.run)
    precondition(inner.isMultiple(of: count), "rows of \(inner) in blocks of \(count)")
    var bytes = [UInt8](repeating: 0, count: inner / count * byteCount)
    var codes = [UInt8](repeating: 0, count: inner)
    var scales = [Float](repeating: 0, count: inner / run)
    var minima = scales
    for output in 0..<outputs {
      try row(output, &bytes)
      precondition(bytes.count == inner / count * byteCount, "a row of \(bytes.count) bytes for \(inner) numbers")
      // Safe: the row holds all of its blocks, the arrays have room for what is in them, and the storage for all panels.
      meander_decode_blocks(kind, bytes, inner / count, &codes, &scales, &minima)
      meander_pack_block_row(storage.base, layout, inner, output, codes, scales, minima)
    }
  }

  private init(outputs: Int, inner: Int, element: Element) {
    guard let bytes = PackedMatrix.byteCount(outputs: outputs, inner: inner, element: element) else {
      preconditionFailure("a weight of \(outputs) × \(inner)")
    }
    (self.outputs, self.inner, self.element) = (outputs, inner, element)
    if case .blocks(let kind) = element { layout = meander_layout_of_blocks(kind) } else { layout = nil }
    storage = Storage(byteCount: bytes)
  }

  /// Writes row `output`, as it is stored, into a matrix of 1 × inner.
  package func row(_ output: Int, into row: Matrix) {
    precondition(output >= 0 && output < outputs && row.rows == 1 && row.columns == inner)
    unpack(output, into: row.base)
  }

  /// Writes row `output`, which lies below `outputs`, to `inner` floats.
  func unpack(_ output: Int, into row: UnsafeMutablePointer<Float>) {
    // Safe: the row lies inside the packed panels, the target holds `inner` floats.
    if let layout {
      meander_unpack_block_row(storage.base, layout, inner, output, row)
    } else {
      meander_unpack_row(storage.base, element == .bf16, inner, output, row)
    }
  }
}
