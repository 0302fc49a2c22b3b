import CMeanderKernels

/// The cosines and sines of a run of positions: T × pairs each.
package struct Angles {
  package let cosines: Matrix
  package let sines: Matrix

  package init(cosines: Matrix, sines: Matrix) { (self.cosines, self.sines) = (cosines, sines) }
}

extension Kernels {
  /// cos and sin of 2π · position · turns, times `magnitude`, for the positions from `position` on. O(T · pairs).
  ///
  /// - Parameter turns: per pair, how much of a turn a position is.
  package func angles(_ turns: [Double], from position: Int64, magnitude: Float, into angles: Angles) {
    let (cosines, sines) = (angles.cosines, angles.sines)
    precondition(
      cosines.columns == turns.count && sines.columns == turns.count && cosines.rows == sines.rows
        && cosines.stride == sines.stride, "shapes differ")
    // Safe: the shapes were checked above.
    turns.withUnsafeBufferPointer { turns in
      guard let base = turns.baseAddress else { return }
      var job = meander_angles(
        turns: base, cosines: cosines.base, sines: sines.base, stride: cosines.stride, position: position,
        tokens: cosines.rows, pairs: turns.count, magnitude: magnitude)
      functions.angles(&job)
    }
  }

  /// Turns the places i and i + pairs of every head of x by its row's angles (Su and others 2021), or, `back`, by minus them. In
  /// place allowed.
  ///
  /// - Parameters:
  ///   - x, y: T × (heads · headWidth)
  ///   - angles: T × pairs, or 1 × pairs for all rows.
  package func rotate(_ x: Matrix, by angles: Angles, headWidth: Int, back: Bool = false, into y: Matrix) {
    let pairs = angles.cosines.columns
    precondition(
      x.rows == y.rows && x.columns == y.columns && x.columns % headWidth == 0 && 2 * pairs <= headWidth
        && (angles.cosines.rows == x.rows || angles.cosines.rows == 1), "a rotation of mismatched shapes")
    rotate(x, by: angles, headWidth: headWidth, pairs: pairs, gap: pairs, angleHeadStride: 0, back: back, into: y)
  }

  /// Turns the neighbouring places 2i and 2i + 1 of each head of x, or, in `halves`, the places i and i + headWidth/2, by angles of the
  /// head's own, or, `back`, by minus them. In place allowed.
  ///
  /// - Parameters:
  ///   - x, y: T × (heads · slices · headWidth); a head's slices are turned alike.
  ///   - angles: T × (heads · pairs), or 1 × (heads · pairs) for all rows.
  package func rotateHeads(
    _ x: Matrix, by angles: Angles, heads: Int, slices: Int = 1, halves: Bool = false, back: Bool = false, into y: Matrix
  ) {
    let (pairs, width) = (angles.cosines.columns / heads, x.columns / (heads * slices))
    precondition(
      x.rows == y.rows && x.columns == y.columns && x.columns % (heads * slices) == 0 && angles.cosines.columns % heads == 0
        && 2 * pairs <= width && (!halves || width % 2 == 0) && (angles.cosines.rows == x.rows || angles.cosines.rows == 1),
      "a rotation of mismatched shapes")
    rotate(
      x, by: angles, headWidth: width, pairs: pairs, gap: halves ? width / 2 : nil, slices: slices, angleHeadStride: pairs,
      back: back, into: y)
  }

  /// The shapes were checked by the callers. gap: from a place to what it is turned with; nil between neighbours.
  private func rotate(
    _ x: Matrix, by angles: Angles, headWidth: Int, pairs: Int, gap: Int?, slices: Int = 1, angleHeadStride: Int, back: Bool,
    into y: Matrix
  ) {
    // Safe: as the callers checked; parts write disjoint rows.
    let job = meander_rotation(
      x: x.base, x_stride: x.stride, cosines: angles.cosines.base, sines: angles.sines.base,
      angle_stride: angles.cosines.rows == 1 ? 0 : angles.cosines.stride, angle_head_stride: angleHeadStride, y: y.base,
      y_stride: y.stride, heads: x.columns / headWidth, slices: slices, head_width: headWidth, pairs: pairs, gap: gap ?? 1,
      back: back, neighbors: gap == nil)
    let function = functions.rotate
    withUnsafePointer(to: job) { job in
      team.split(x.rows, workers: sharing(operations: x.rows * x.columns * 2)) {
        function(job, $0.lowerBound, $0.upperBound)
      }
    }
  }
}
