import MeanderErrors

/// One tensor as it lies in a file.
///
/// Whoever makes one has checked that every element it can reach lies within the file.
struct StoredTensor: Sendable {
  let entry: TensorEntry
  let bytes: FileBytes
  /// Where in the file element 0 starts.
  let offset: Int
  /// Distance in elements between neighbors of each dimension; nil where the elements lie in row-major order.
  let strides: [Int]?
  /// Where the rows that are asked for lie, where they are not simply one behind the other.
  var rows: StoredRows?
  /// What the numbers that are asked for are of those that are stored.
  var values = TensorValues.asStored

  var place: String { "\(bytes.path), tensor \(entry.name)" }

  /// Calls `body` with the stored bytes of the elements in `range`, row-major.
  func withElements<Result>(
    _ range: Range<Int>, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    guard range.lowerBound >= 0, range.upperBound <= entry.count else {
      throw MeanderError(.badRequest, "elements \(range) of \(entry.count) were asked for", at: place)
    }
    let (block, width) = (entry.type.blockCount, entry.type.byteCount)
    guard range.lowerBound.isMultiple(of: block), range.upperBound.isMultiple(of: block) else {
      throw MeanderError(.badRequest, "elements \(range) cut a block of \(block)", at: place)
    }
    if let rows { return try assembled(range, rows, body) }
    if let strides {
      // Safe: an array's own bytes, read inside the call.
      return try gathered(range, strides).withUnsafeBytes(body)
    }
    // Safe: the tensor's bytes lie within the file (checked when it was read), and the range within the
    // tensor.
    return try bytes.withBytes(
      offset + range.lowerBound / block * width..<offset + range.upperBound / block * width
    ) {
      try $0.withUnsafeBytes(body)
    }
  }

  /// The same where rows are stored in another order, or apart. Ranges are whole rows, or lie in one.
  private func assembled<Result>(
    _ range: Range<Int>, _ rows: StoredRows, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let (columns, block, width) = (rows.columns, entry.type.blockCount, entry.type.byteCount)
    let starts = range.isEmpty ? [] : Array(stride(from: range.lowerBound, to: range.upperBound, by: columns))
    guard starts.count != 1 else {
      let (row, column) = range.lowerBound.quotientAndRemainder(dividingBy: columns)
      guard column + range.count <= columns else { throw cut(range, columns) }
      let start = rows.offset(of: row) + column / block * width
      // Safe: a row's elements, or some of them; the tensor's bytes lie within the file.
      return try bytes.withBytes(start..<start + range.count / block * width) { try $0.withUnsafeBytes(body) }
    }
    guard starts.allSatisfy({ $0.isMultiple(of: columns) }), range.upperBound.isMultiple(of: columns) else {
      throw cut(range, columns)
    }
    let size = columns / block * width
    let gathered = starts.flatMap { start in
      let offset = rows.offset(of: start / columns)
      return bytes.copy(offset..<offset + size)
    }
    // Safe: an array's own bytes, read inside the call.
    return try gathered.withUnsafeBytes(body)
  }

  private func cut(_ range: Range<Int>, _ columns: Int) -> MeanderError {
    MeanderError(.badRequest, "elements \(range) are no whole rows of \(columns)", at: place)
  }

  /// The bytes of elements `range` of a tensor that is not row-major, copied into row-major order.
  private func gathered(_ range: Range<Int>, _ strides: [Int]) -> [UInt8] {
    if range.isEmpty { return [] }
    let width = entry.type.byteCount
    var index = [Int](repeating: 0, count: strides.count)
    var rest = range.lowerBound
    for dimension in strides.indices.reversed() {
      (rest, index[dimension]) = rest.quotientAndRemainder(dividingBy: entry.shape[dimension])
    }
    var source = zip(index, strides).reduce(0) { $0 + $1.0 * $1.1 }
    var output: [UInt8] = []
    output.reserveCapacity(range.count * width)
    bytes.withBytes { file in
      for _ in range {
        for byte in 0..<width { output.append(file.byte(offset + source * width + byte)) }
        for dimension in strides.indices.reversed() {
          index[dimension] += 1
          source += strides[dimension]
          if index[dimension] < entry.shape[dimension] { break }
          source -= entry.shape[dimension] * strides[dimension]
          index[dimension] = 0
        }
      }
    }
    return output
  }
}

/// Where the rows of a tensor lie in a file that keeps them in another order, or in several tensors.
struct StoredRows: Sendable {
  let columns: Int
  /// In the order of the rows: where the first of them lies, how far it is to the next, and how many were before.
  private var runs: [(offset: Int, step: Int, before: Int)] = []

  init(columns: Int) { self.columns = columns }

  /// Adds `count` rows to those that are there.
  mutating func append(offset: Int, step: Int, count: Int, after before: Int) {
    if count > 0 { runs.append((offset, step, before)) }
  }

  /// Where a row begins, in bytes. O(log of the runs).
  func offset(of row: Int) -> Int {
    var (low, high) = (0, runs.count)
    while high - low > 1 {
      let middle = (low + high) / 2
      if runs[middle].before <= row { low = middle } else { high = middle }
    }
    return runs[low].offset + (row - runs[low].before) * runs[low].step
  }
}
