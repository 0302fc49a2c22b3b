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
  /// How what is asked for is made of what is stored.
  var arrangement = TensorArrangement.asStored

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
    if case .rotaryPairs(let heads) = arrangement { return try inTurns(range, heads, body) }
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

  /// The same where the halves of each head's rows are stored in turns. Ranges are whole rows, or lie in one.
  private func inTurns<Result>(
    _ range: Range<Int>, _ heads: Int, _ body: (UnsafeRawBufferPointer) throws -> Result
  ) throws -> Result {
    let columns = entry.shape.count > 1 ? entry.shape[entry.shape.count - 1] : 1
    let (block, width) = (entry.type.blockCount, entry.type.byteCount)
    let half = entry.count / columns / heads / 2
    /// Where element `index` of the row order that is asked for is stored.
    func place(_ index: Int) -> Int {
      let (row, column) = index.quotientAndRemainder(dividingBy: columns)
      let (head, rest) = row.quotientAndRemainder(dividingBy: 2 * half)
      let (part, pair) = rest.quotientAndRemainder(dividingBy: half)
      return offset + ((head * 2 * half + 2 * pair + part) * columns + column) / block * width
    }
    let starts = range.isEmpty ? [] : Array(stride(from: range.lowerBound, to: range.upperBound, by: columns))
    guard starts.count != 1 else {
      let start = place(range.lowerBound)
      // Safe: a row's elements, or some of them; the tensor's bytes lie within the file.
      return try bytes.withBytes(start..<start + range.count / block * width) { try $0.withUnsafeBytes(body) }
    }
    guard starts.allSatisfy({ $0.isMultiple(of: columns) }), range.upperBound.isMultiple(of: columns) else {
      throw MeanderError(.badRequest, "elements \(range) are no whole rows of \(columns)", at: self.place)
    }
    let gathered = starts.flatMap { bytes.copy(place($0)..<place($0) + columns / block * width) }
    // Safe: an array's own bytes, read inside the call.
    return try gathered.withUnsafeBytes(body)
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

/// How a tensor's numbers are made of what is stored, where a file keeps them another way than its model is told of.
package enum TensorArrangement: Sendable, Equatable {
  case asStored
  /// Rows of each head in pairs, first half and second half in turns, as rotary positions of neighbours want them.
  case rotaryPairs(heads: Int)
  /// The logarithm of what is stored less its sign.
  case logarithmOfNegative
}
