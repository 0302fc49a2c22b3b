import Glibc

/// The numbers that the naive recurrences are written over.
package protocol NaiveReal: BinaryFloatingPoint {
  static func exponential(_ x: Self) -> Self
  /// ln(1 + x).
  static func logarithmOnePlus(_ x: Self) -> Self
}

extension Float: NaiveReal {
  package static func exponential(_ x: Float) -> Float { exp(x) }
  package static func logarithmOnePlus(_ x: Float) -> Float { log1p(x) }
}

extension Double: NaiveReal {
  package static func exponential(_ x: Double) -> Double { exp(x) }
  package static func logarithmOnePlus(_ x: Double) -> Double { log1p(x) }
}

/// The recurrences as the papers write them, token by token over plain arrays (row-major): what tests call.
package enum Naive {
  /// ln(1 + exp(x)).
  package static func softplus<Real: NaiveReal>(_ x: Real) -> Real {
    max(x, 0) + Real.logarithmOnePlus(Real.exponential(-abs(x)))
  }

  /// Mamba-2: h = a·h + w·(x ⊗ B), y = C·h + D·x, with the gate transform.
  ///
  /// x: T × (H·P); dt (raw): T × H; b, c: T × (G·N); skip (D): H; state: (H·N) × P, moved on. Returns y: T × (H·P).
  @specialized(where Real == Double)
  package static func selectiveScan<Real: NaiveReal>(
    x: [Real], dt: [Real], b: [Real], c: [Real], heads: [HeadGate], skip: [Real], state: inout [Real], groups: Int,
    tokens: Int
  ) -> [Real] {
    let count = heads.count
    let width = tokens == 0 ? 0 : x.count / tokens / count
    let size = tokens == 0 ? 0 : b.count / tokens / groups
    var y = [Real](repeating: 0, count: x.count)
    for t in 0..<tokens {
      for h in 0..<count {
        let gate = heads[h]
        let group = h / (count / groups)
        var step = softplus(dt[t * count + h] + Real(gate.bias))
        step = min(max(step, Real(gate.minimum)), Real(gate.maximum)) * Real(gate.scale)
        if step < Real(gate.threshold) { step = 0 }
        let retention = Real.exponential(Real(gate.rate) * step + Real(gate.logRetention))
        let insertion = Real(gate.insertion) * step
        for p in 0..<width {
          let input = x[(t * count + h) * width + p]
          var output = skip[h] * input
          for n in 0..<size {
            let column = (t * groups + group) * size + n
            let place = (h * size + n) * width + p
            state[place] = retention * state[place] + insertion * input * b[column]
            output += c[column] * state[place]
          }
          y[(t * count + h) * width + p] = output
        }
      }
    }
    return y
  }

  /// Mamba-1: h[n] = cA·exp(sA·dt·A[n])·h[n] + sB·dt·x·B[n], y = C·h + D·x for each of I channels.
  ///
  /// x, dt (after softplus): T × I; rate (A): N × I; b, c: T × N; skip (D): I; state: N × I, moved on. Returns T × I.
  /// An `input`, T × I, stands in the place of sB·dt·x.
  @specialized(where Real == Double)
  package static func channelScan<Real: NaiveReal>(
    x: [Real], input: [Real]? = nil, dt: [Real], rate: [Real], b: [Real], c: [Real], skip: [Real], state: inout [Real],
    gate: ChannelGate = .init(), tokens: Int
  ) -> [Real] {
    let channels = skip.count
    let size = state.count / channels
    var y = [Real](repeating: 0, count: x.count)
    for t in 0..<tokens {
      for i in 0..<channels {
        let step = dt[t * channels + i]
        let inserted = input?[t * channels + i] ?? Real(gate.insertion) * step * x[t * channels + i]
        var output = skip[i] * x[t * channels + i]
        for n in 0..<size {
          let place = n * channels + i
          let retention = Real.exponential(Real(gate.rateScale) * step * rate[place] + Real(gate.logRetention))
          state[place] = retention * state[place] + inserted * b[t * size + n]
          output += c[t * size + n] * state[place]
        }
        y[t * channels + i] = output
      }
    }
    return y
  }
}
