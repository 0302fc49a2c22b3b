import MeanderKernels

/// The affine power of a stretch: what its repetition does to a state.
///
/// Over a stretch each head's state moves as h₁ = e^s·h₀ + b, with s the sum of its log-decays. N times in a row it becomes
///
///     h_N = e^{sN}·h₀ + k·b,   k = (e^{sN} - 1) / (e^s - 1)
///
/// which is exact where the inputs of the layer repeat themselves, so in the first layer but for the convolution's edges.
final class StatePower {
  private let repeats: Int
  private let kernels: Kernels
  /// s, at least a little below zero, and what follows from it.
  private let factors: [PowerFactors]
  /// The true state before the stretch, h₀, (H·N) × P, and b once it is known.
  private let start: Matrix
  private var gained: Matrix?

  /// - Parameters:
  ///   - decays: s of each head.
  ///   - start: the stored state before the stretch as one row, and what was pending for each head.
  init(repeats: Int, decays: [Double], start: (state: Matrix, pending: [Double]), kernels: Kernels) {
    self.repeats = repeats
    self.kernels = kernels
    factors = decays.map { PowerFactors(decay: min($0, -1e-12), repeats: Double(repeats)) }
    let values = start.state.array()
    let size = values.count / decays.count
    self.start = Matrix(
      values.enumerated().map { Float(Double($1) * exponential(start.pending[$0 / size])) }, rows: decays.count, columns: size)
  }

  /// Moves the state after the stretch on to that after N stretches, nothing pending.
  func apply(to state: Matrix, pending: Doubles, total: Doubles) {
    let heads = factors.count
    let gained = Matrix(rows: heads, columns: start.columns)
    for (head, factor) in factors.enumerated() {
      let rows = state.rows(head * state.rows / heads..<(head + 1) * state.rows / heads)
      let values = rows.array()
      let scale = exponential(pending[head])
      var after = values
      for place in values.indices {
        let before = Double(start[head, place])
        let added = Double(values[place]) * scale - factor.once * before
        gained[head, place] = Float(added)
        after[place] = Float(factor.often * before + factor.sum * added)
      }
      rows.copy(from: Matrix(after, rows: rows.rows, columns: rows.columns))
      pending[head] = 0
      total[head] += factor.decay * Double(repeats - 1)
    }
    self.gained = gained
  }

  /// From the gradient of h_N, in `dstate`, to that of h₁, which takes its place; and those of h₀, as another path than the
  /// stretch gives it, and of s.
  func backward(_ dstate: Matrix) -> (start: Matrix, decays: Doubles) {
    let heads = factors.count
    let dstart = Matrix(rows: dstate.rows, columns: dstate.columns)
    let ddecays = Doubles([Double](repeating: 0, count: heads))
    guard let gained else { return (dstart, ddecays) }
    for (head, factor) in factors.enumerated() {
      let range = head * dstate.rows / heads..<(head + 1) * dstate.rows / heads
      let rows = dstate.rows(range)
      let d = rows.array()
      var fromStart = 0.0
      var fromGained = 0.0
      for place in d.indices {
        fromStart += Double(d[place]) * Double(start[head, place])
        fromGained += Double(d[place]) * Double(gained[head, place])
      }
      ddecays[head] =
        fromStart * (Double(repeats) * factor.often - factor.sum * factor.once) + fromGained * factor.slope
      let toStart = Float(factor.often - factor.sum * factor.once)
      dstart.rows(range).copy(from: Matrix(d.map { $0 * toStart }, rows: rows.rows, columns: rows.columns))
      rows.copy(from: Matrix(d.map { Float(Double($0) * factor.sum) }, rows: rows.rows, columns: rows.columns))
    }
    return (dstart, ddecays)
  }
}

/// e^s, e^{sN}, k and dk/ds.
private struct PowerFactors {
  let decay: Double
  let once: Double
  let often: Double
  let sum: Double
  let slope: Double

  init(decay s: Double, repeats n: Double) {
    decay = s
    once = exponential(s)
    often = exponential(s * n)
    let (little, much) = (exponentialMinusOne(s), exponentialMinusOne(s * n))
    sum = much / little
    // For tiny s the closed form of the slope loses all its digits; its series does not.
    slope = abs(s * n) < 1e-4
      ? n * (n - 1) / 2 * (1 + s * (2 * n - 1) / 3)
      : (n * often * little - much * once) / (little * little)
  }
}
