import CMeanderKernels

extension Kernels {
  /// y = (adding ? y : 0) + (x·Wᵀ + bias), x: T × inner, y: T × outputs, T any.
  ///
  /// Each output is one chain of fused multiply-adds over the inner dimension in ascending order, whatever T, the team
  /// and the table; with `compute` bf16 and a weight stored as bf16, x is rounded to bf16 first.
  /// Complexity: O(T · inner · outputs); at T = 1 every byte of the weight is read once.
  package func product(
    _ x: Matrix, _ weight: PackedMatrix, bias: Matrix? = nil, into y: Matrix, adding: Bool = false
  ) {
    precondition(
      x.columns == weight.inner && y.columns == weight.outputs && x.rows == y.rows
        && (bias.map { $0.rows == 1 && $0.columns == weight.outputs } ?? true), "a product of mismatched shapes")
    guard x.rows > 0, weight.outputs > 0 else { return }
    let (input, isPairs) = input(x, of: weight)
    // Safe: the shapes were checked above; parts write disjoint rows or panels of y.
    let job = meander_product(
      x: input.base, x_stride: input.stride, x_is_pairs: isPairs, weight: UnsafeRawPointer(weight.storage.base),
      is_bf16: weight.element == .bf16, adding: adding, bias: bias.map { UnsafePointer($0.base) }, y: y.base,
      y_stride: y.stride, inner: weight.inner, outputs: weight.outputs)
    let function = functions.product
    let rows = x.rows
    let panels = (weight.outputs + 15) / 16
    let workers = sharing(operations: rows * panels * 16 * weight.inner)
    withUnsafePointer(to: job) { job in
      // Rows are shared out while the weight stays in a cache: the shares are then the most even.
      if rows >= 24 * team.threads && weight.byteCount <= 1 << 18 {
        team.split(rows, grain: 6, workers: workers) { function(job, $0.lowerBound, $0.upperBound, 0, panels) }
      } else {
        team.split(panels, workers: workers) { function(job, 0, rows, $0.lowerBound, $0.upperBound) }
      }
    }
  }

  /// What the product reads for x: x itself, or in scratch memory x rounded to bf16, as words of two where the table
  /// multiplies pairs.
  private func input(_ x: Matrix, of weight: PackedMatrix) -> (Matrix, isPairs: Bool) {
    guard compute == .bf16 && weight.element == .bf16 else { return (x, false) }
    guard let roundToPairs = functions.round_to_pairs else {
      let rounded = team.scratch(rows: x.rows, columns: x.columns)
      elementwise(functions.round_to_bf16, x, nil, into: rounded)
      return (rounded, false)
    }
    let words = team.scratch(rows: x.rows, columns: (x.columns + 1) / 2)
    // Safe: a row of words holds half as many places as x has columns, rounded up; parts write disjoint rows.
    let job = meander_elementwise(
      a: x.base, a_stride: x.stride, b: nil, b_stride: 0, y: words.base, y_stride: words.stride, columns: x.columns)
    withUnsafePointer(to: job) { job in
      team.split(x.rows, workers: sharing(operations: x.rows * x.columns * 2)) {
        roundToPairs(job, $0.lowerBound, $0.upperBound)
      }
    }
    return (words, true)
  }

  /// Row `ids[t]` of the weight, as it is stored, into row t of y: T × inner. Ids lie below `outputs`.
  package func embed(_ ids: ArraySlice<Int32>, _ weight: PackedMatrix, into y: Matrix) {
    precondition(ids.count == y.rows && y.columns == weight.inner, "an embedding of mismatched shapes")
    let (storage, isBF16) = (weight.storage, weight.element == .bf16)
    for (row, id) in ids.enumerated() {
      precondition(id >= 0 && id < weight.outputs, "id \(id) of \(weight.outputs)")
      // Safe: the id was just checked, and a row of y holds `inner` floats.
      meander_unpack_row(storage.base, isBF16, weight.inner, Int(id), y.base + row * y.stride)
    }
  }

  /// How many workers are worth waking for so many multiply-adds (or as many of what costs the same).
  func sharing(operations: Int) -> Int { operations < 40_000 ? 1 : team.threads }
}
