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

  /// Neighbouring places of each head turned by the head's own angles, T × (H·N).
  func rotateNeighbors(_ x: Matrix, by turning: TurningAngles, heads: Int) -> Matrix {
    let y = arena.matrix(rows: x.rows, columns: x.columns)
    kernels.rotateNeighbors(x, by: turning.angles, heads: heads, into: y)
    record(y) { dy, gradients, kernels in
      let turned = Matrix(rows: x.rows, columns: x.columns)
      kernels.rotateNeighbors(dy, by: turning.angles, heads: heads, back: true, into: turned)
      kernels.add(turned, to: gradients.of(x))
      let dturns = gradients.of(turning.turns)
      let (size, pairs) = (x.columns / heads, dturns.columns / heads)
      for t in 0..<x.rows {
        for head in 0..<heads {
          for pair in 0..<pairs {
            let (first, second) = (head * size + 2 * pair, head * size + 2 * pair + 1)
            let d = dy[t, second] * y[t, first] - dy[t, first] * y[t, second]
            dturns[t, head * pairs + pair] += 2 * .pi * d
          }
        }
      }
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
