/// A row-major view of `rows × columns` floats with `stride` floats between rows. It keeps its storage alive, and
/// copies of it share the same numbers.
package struct Matrix: @unchecked Sendable {
  // Safe as Sendable: a view is written by one owner at a time, as `Storage` tells.
  let base: UnsafeMutablePointer<Float>
  package let storage: Storage
  package let rows: Int
  package let columns: Int
  package let stride: Int

  private init(_ storage: Storage, _ base: UnsafeMutablePointer<Float>, _ rows: Int, _ columns: Int, _ stride: Int) {
    self.storage = storage
    self.base = base
    self.rows = rows
    self.columns = columns
    self.stride = stride
  }

  /// Zeros in storage of their own.
  package init(rows: Int, columns: Int) {
    let (count, overflows) = rows.multipliedReportingOverflow(by: columns)
    precondition(rows >= 0 && columns >= 0 && !overflows && count < Int.max / 8, "a matrix of \(rows) × \(columns)")
    self.init(Storage(byteCount: count * 4), offset: 0, rows: rows, columns: columns)
  }

  /// A copy of `values`, row after row.
  package init(_ values: [Float], rows: Int, columns: Int) {
    precondition(values.count == rows * columns, "\(values.count) values for \(rows) × \(columns)")
    self.init(rows: rows, columns: columns)
    // Safe: the storage was made for exactly this many floats.
    values.withUnsafeBufferPointer { from in
      if let start = from.baseAddress { base.update(from: start, count: from.count) }
    }
  }

  /// A view of contiguous rows that start `offset` bytes into `storage`; the offset is a multiple of 4.
  package init(_ storage: Storage, offset: Int, rows: Int, columns: Int) {
    let (count, overflows) = rows.multipliedReportingOverflow(by: columns)
    precondition(
      rows >= 0 && columns >= 0 && !overflows && offset >= 0 && offset % 4 == 0 && offset <= storage.byteCount
        && count <= (storage.byteCount - offset) / 4, "\(rows) × \(columns) floats at byte \(offset) do not fit")
    // Safe: the range was just checked to lie inside the storage, which the view keeps alive; Float is trivial.
    let base = (storage.base + offset).assumingMemoryBound(to: Float.self)
    self.init(storage, base, rows, columns, columns)
  }

  /// Rows `range`, sharing these numbers.
  package func rows(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= rows, "rows \(range) of \(rows)")
    // Safe: rows inside this view; an empty range at the end points at most one past it and is never read.
    return Matrix(storage, base + range.lowerBound * stride, range.count, columns, stride)
  }

  /// Columns `range`, sharing these numbers.
  package func columns(_ range: Range<Int>) -> Matrix {
    precondition(range.lowerBound >= 0 && range.upperBound <= columns, "columns \(range) of \(columns)")
    // Safe: columns inside this view, as above.
    return Matrix(storage, base + range.lowerBound, rows, range.count, stride)
  }

  /// The same numbers as rows of `width` columns, of a view without gaps: heads as rows of their own, and back.
  package func reshaped(columns width: Int) -> Matrix {
    precondition(
      width > 0 && rows * columns % width == 0 && (stride == columns || rows <= 1), "\(rows) × \(columns) as rows of \(width)")
    // Safe: without gaps the view's rows × columns numbers lie one after the other.
    return Matrix(storage, base, rows * columns / width, width, width)
  }

  /// Every `step`th row from `first` on, sharing these numbers; as many rows as a multiple of the step holds.
  package func every(_ step: Int, from first: Int) -> Matrix {
    precondition(step > 0 && rows % step == 0 && (0..<step).contains(first), "every \(step)th of \(rows) rows")
    // Safe: rows inside this view.
    return Matrix(storage, base + first * stride, rows / step, columns, step * stride)
  }

  /// Where the view begins in its storage, in bytes.
  package var byteOffset: Int { UnsafeMutableRawPointer(base) - storage.base }

  /// The same view of another storage: the gradient of a number stands at the number's place in a twin.
  package func twin(in other: Storage) -> Matrix {
    precondition(other.byteCount == storage.byteCount, "a twin of another size")
    // Safe: the view lies inside its own storage, and the other is as large.
    let place = other.base + (UnsafeMutableRawPointer(base) - storage.base)
    return Matrix(other, place.assumingMemoryBound(to: Float.self), rows, columns, stride)
  }

  package subscript(row: Int, column: Int) -> Float {
    get {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns)
      // Safe: just checked.
      return base[row * stride + column]
    }
    nonmutating set {
      precondition(row >= 0 && row < rows && column >= 0 && column < columns)
      // Safe: just checked.
      base[row * stride + column] = newValue
    }
  }

  /// All numbers, row after row. Complexity: O(rows · columns).
  package func array() -> [Float] {
    // Safe: every element of the new array is written from inside this view.
    [Float](unsafeUninitializedCapacity: rows * columns) { target, count in
      if let to = target.baseAddress {
        for row in 0..<rows { (to + row * columns).update(from: base + row * stride, count: columns) }
      }
      count = rows * columns
    }
  }

  package func fill(_ value: Float) {
    // Safe: rows of this view.
    for row in 0..<rows { (base + row * stride).update(repeating: value, count: columns) }
  }

  /// Copies the numbers of `other`, of the same shape; the two may overlap only when they are the same view.
  package func copy(from other: Matrix) {
    precondition(rows == other.rows && columns == other.columns, "shapes differ")
    // Safe: both ranges lie inside their views, whose shapes agree.
    for row in 0..<rows { (base + row * stride).update(from: other.base + row * other.stride, count: columns) }
  }
}

/// A contiguous run of doubles inside a storage: decays are gathered in these.
package struct Doubles: @unchecked Sendable {
  // Safe as Sendable: written by one owner at a time, as `Storage` tells.
  let base: UnsafeMutablePointer<Double>
  package let storage: Storage
  package let count: Int

  /// `count` doubles that start `offset` bytes into `storage`; the offset is a multiple of 8.
  package init(_ storage: Storage, offset: Int, count: Int) {
    precondition(
      count >= 0 && offset >= 0 && offset % 8 == 0 && offset <= storage.byteCount
        && count <= (storage.byteCount - offset) / 8, "\(count) doubles at byte \(offset) do not fit")
    self.storage = storage
    // Safe: the range was just checked to lie inside the storage, which this keeps alive; Double is trivial.
    base = (storage.base + offset).assumingMemoryBound(to: Double.self)
    self.count = count
  }

  /// A copy of `values`.
  package init(_ values: [Double]) {
    self.init(Storage(byteCount: values.count * 8), offset: 0, count: values.count)
    // Safe: the storage was made for exactly this many doubles.
    for (index, value) in values.enumerated() { base[index] = value }
  }

  package subscript(index: Int) -> Double {
    get {
      precondition(index >= 0 && index < count)
      // Safe: just checked.
      return base[index]
    }
    nonmutating set {
      precondition(index >= 0 && index < count)
      // Safe: just checked.
      base[index] = newValue
    }
  }

  package func array() -> [Double] {
    // Safe: reads inside the run.
    (0..<count).map { base[$0] }
  }

  package func fill(_ value: Double) {
    // Safe: writes inside the run.
    base.update(repeating: value, count: count)
  }
}
