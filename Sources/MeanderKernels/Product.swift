import CMeanderKernels

extension Kernels {
  /// y = (adding ? y : 0) + (x·Wᵀ + bias), x: T × inner, y: T × outputs, T any.
  ///
  /// Each output is one chain of fused multiply-adds over the inner dimension in ascending order, whatever T, the team
  /// and the table; with `compute` bf16 and a weight stored as bf16, x is rounded to bf16 first. With `compute` int8 a weight of
  /// quantised blocks is multiplied as `blockProduct` tells.
  /// Complexity: O(T · inner · outputs); at T = 1 every byte of the weight is read once.
  package func product(
    _ x: Matrix, _ weight: PackedMatrix, bias: Matrix? = nil, into y: Matrix, adding: Bool = false
  ) {
    precondition(
      x.columns == weight.inner && y.columns == weight.outputs && x.rows == y.rows
        && (bias.map { $0.rows == 1 && $0.columns == weight.outputs } ?? true), "a product of mismatched shapes")
    guard x.rows > 0, weight.outputs > 0 else { return }
    if compute == .int8, let layout = weight.layout {
      return blockProduct(x, weight, layout.pointee, bias: bias, into: y, adding: adding)
    }
    let (input, isPairs) = input(x, of: weight)
    // Safe: the shapes were checked above; parts write disjoint rows or panels of y.
    let job = meander_product(
      x: input.base, x_stride: input.stride, x_is_pairs: isPairs, weight: UnsafeRawPointer(weight.storage.base),
      is_bf16: weight.element == .bf16, blocks: weight.layout, adding: adding, bias: bias.map { UnsafePointer($0.base) }, y: y.base,
      y_stride: y.stride, inner: weight.inner, outputs: weight.outputs)
    share(rows: x.rows, weight, job, functions.product)
  }

  /// The product of a weight of quantised blocks and activations rounded to eight bits, 32 of a row by one scale.
  ///
  /// Codes are multiplied in integers; each run of numbers that share a scale adds scale · scale · sum to an output, runs in
  /// ascending order. So the bits depend on neither T, the team nor the table.
  private func blockProduct(
    _ x: Matrix, _ weight: PackedMatrix, _ layout: meander_block_layout, bias: Matrix?, into y: Matrix, adding: Bool
  ) {
    let blocks = x.columns / Int(MEANDER_ACTIVATION_BLOCK)
    let record = MemoryLayout<meander_activations>.size
    let scratch = team.scratch(rows: x.rows, columns: blocks * record / 4)
    // Safe: the scratch rows were made for so many records; the type is trivial, and every record is written before it is read.
    let records = UnsafeMutableRawPointer(scratch.base).assumingMemoryBound(to: meander_activations.self)
    let rounding = meander_activation_rounding(
      x: x.base, x_stride: x.stride, y: records, y_stride: scratch.stride * 4 / record, columns: x.columns, layout: layout)
    let round = functions.round_activations
    withUnsafePointer(to: rounding) { job in
      team.split(x.rows, workers: sharing(operations: x.rows * x.columns * 2)) { round(job, $0.lowerBound, $0.upperBound) }
    }
    // Safe: the caller checked the shapes; parts write disjoint rows or panels of y.
    let job = meander_block_product(
      x: records, x_stride: rounding.y_stride, weight: UnsafeRawPointer(weight.storage.base), layout: layout, adding: adding,
      bias: bias.map { UnsafePointer($0.base) }, y: y.base, y_stride: y.stride, inner: weight.inner, outputs: weight.outputs)
    share(rows: x.rows, weight, job, functions.block_product)
  }

  /// Shares a product's rows or panels out to the team.
  private func share<Job>(
    rows: Int, _ weight: PackedMatrix, _ job: Job,
    _ function: (UnsafePointer<Job>, Int, Int, Int, Int) -> Void
  ) {
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
    for (row, id) in ids.enumerated() {
      precondition(id >= 0 && id < weight.outputs, "id \(id) of \(weight.outputs)")
      // Safe: the id was just checked, and a row of y holds `inner` floats.
      weight.unpack(Int(id), into: y.base + row * y.stride)
    }
  }

  /// How many workers are worth waking for so many multiply-adds (or as many of what costs the same).
  func sharing(operations: Int) -> Int { operations < 40_000 ? 1 : team.threads }
}
