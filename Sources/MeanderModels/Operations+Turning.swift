import MeanderKernels

// What Mamba-3 has beside the rest of the family: angles that follow from the inputs, and the rates of its heads.

/// Angles of T tokens that go on turning, of H heads and A pairs each.
struct TurningAngles {
  /// T × (H·A)
  let angles: Angles
  /// The same in turns, from 0 to 1, which gradients are of.
  let turns: Matrix

  func rows(_ range: Range<Int>) -> TurningAngles {
    TurningAngles(
      angles: Angles(cosines: angles.cosines.rows(range), sines: angles.sines.rows(range)), turns: turns.rows(range))
  }
}

extension Operations {
  /// θ[t, h, a] = θ[t - 1, h, a] + π · share[t, a] · step[t, h].
  ///
  /// - Parameters:
  ///   - share: T × A
  ///   - step: T × H
  ///   - angle, rest: θ before the first token in turns, 1 × (H·A), and what fp32 cannot hold of it; they move on.
  func turning(_ share: Matrix, step: Matrix, angle: Matrix, rest: Matrix) -> TurningAngles {
    let (tokens, heads, pairs) = (share.rows, step.columns, share.columns)
    func rows() -> Matrix { arena.matrix(rows: tokens, columns: heads * pairs) }
    let result = TurningAngles(angles: Angles(cosines: rows(), sines: rows()), turns: rows())
    var turns = [Double](repeating: 0, count: heads * pairs)
    for t in 0..<tokens {
      for head in 0..<heads {
        let half = 0.5 * Double(step[t, head])
        for pair in 0..<pairs {
          let place = head * pairs + pair
          var turn = Double(angle[0, place]) + Double(rest[0, place]) + half * Double(share[t, pair])
          turn -= turn.rounded(.down)
          // As two numbers of the state it is the same for every cut.
          let high = Float(turn)
          let low = Float(turn - Double(high))
          (angle[0, place], rest[0, place]) = (high, low)
          turns[place] = Double(high) + Double(low)
          result.turns[t, place] = high
        }
      }
      let row = t..<t + 1
      kernels.angles(
        turns, from: 1, magnitude: 1,
        into: Angles(cosines: result.angles.cosines.rows(row), sines: result.angles.sines.rows(row)))
    }
    record(result.turns) { dturns, gradients, _ in
      let (dshare, dstep, dangle) = (gradients.of(share), gradients.of(step), gradients.of(angle))
      for head in 0..<heads {
        for pair in 0..<pairs {
          var d = dangle[0, head * pairs + pair]
          for t in (0..<tokens).reversed() {
            d += dturns[t, head * pairs + pair]
            dshare[t, pair] += 0.5 * d * step[t, head]
            dstep[t, head] += 0.5 * d * share[t, pair]
          }
          dangle[0, head * pairs + pair] = d
        }
      }
    }
    return result
  }

  /// Pairs of places turned by angles of the head's own, in each of its slices alike, T × (H·R·N): neighbours, or, in `halves`, the
  /// places i and i + N/2.
  func rotateHeads(_ x: Matrix, by turning: TurningAngles, heads: Int, slices: Int, halves: Bool) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.rotateHeads(x, by: turning.angles, heads: heads, slices: slices, halves: halves, into: y)
    record(y) { dy, gradients, kernels in
      let turned = Matrix(rows: x.rows, columns: x.columns)
      kernels.rotateHeads(dy, by: turning.angles, heads: heads, slices: slices, halves: halves, back: true, into: turned)
      kernels.add(turned, to: gradients.of(x))
      let dturns = gradients.of(turning.turns)
      let (size, pairs) = (x.columns / (heads * slices), dturns.columns / heads)
      for t in 0..<x.rows {
        for slice in 0..<heads * slices {
          for pair in 0..<pairs {
            let first = slice * size + (halves ? pair : 2 * pair)
            let second = first + (halves ? size / 2 : 1)
            let d = dy[t, second] * y[t, first] - dy[t, first] * y[t, second]
            dturns[t, slice / slices * pairs + pair] += 2 * .pi * d
          }
        }
      }
    }
    return y
  }

  /// Each head's slices moved up, T × (H·R·P): y[h, r] = x[h, (r + count) mod R].
  func rolled(_ x: Matrix, heads: Int, slices: Int, by count: Int) -> Matrix {
    guard count % slices != 0 else { return x }
    let (y, width) = (arena.matrix(rows: x.rows, columns: x.columns), x.columns / (heads * slices))
    let places = (0..<heads * slices).map { place in
      let from = place / slices * slices + (place + count) % slices
      return (from: from * width..<(from + 1) * width, to: place * width..<(place + 1) * width)
    }
    for place in places { y.columns(place.to).copy(from: x.columns(place.from)) }
    record(y) { dy, gradients, kernels in
      let dx = gradients.of(x)
      for place in places { kernels.add(dy.columns(place.to), to: dx.columns(place.from)) }
    }
    return y
  }

  /// The sum of each head's slices, T × (H·P).
  func sumSlices(_ x: Matrix, heads: Int, slices: Int) -> Matrix {
    guard slices > 1 else { return x }
    let width = x.columns / (heads * slices)
    let y = arena.matrix(rows: x.rows, columns: heads * width)
    y.fill(0)
    let places = (0..<heads * slices).map { place in
      (from: place * width..<(place + 1) * width, to: place / slices * width..<(place / slices + 1) * width)
    }
    for place in places { kernels.add(x.columns(place.from), to: y.columns(place.to)) }
    record(y) { dy, gradients, kernels in
      let dx = gradients.of(x)
      for place in places { kernels.add(dy.columns(place.to), to: dx.columns(place.from)) }
    }
    return y
  }

  /// 1 + x above zero, 1 / (1 - x) below, T × columns: positive, with a tail that falls slowly.
  func heavyTail(_ x: Matrix) -> Matrix {
    each(x) { $0 >= 0 ? 1 + $0 : 1 / (1 - $0) } slope: { $0 >= 0 ? 1 : $1 * $1 }
  }

  /// The larger of x and a number, T × columns.
  func atLeast(_ x: Matrix, _ number: Float) -> Matrix {
    each(x) { max($0, number) } slope: { x, _ in x > number ? 1 : 0 }
  }

  /// A function of each of few numbers by itself; its slope from x and y.
  private func each(_ x: Matrix, _ value: (Float) -> Float, slope: @escaping (Float, Float) -> Float) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    for row in 0..<x.rows { for column in 0..<x.columns { y[row, column] = value(x[row, column]) } }
    record(y) { dy, gradients, _ in
      let dx = gradients.of(x)
      for row in 0..<x.rows {
        for column in 0..<x.columns { dx[row, column] += dy[row, column] * slope(x[row, column], y[row, column]) }
      }
    }
    return y
  }
}
