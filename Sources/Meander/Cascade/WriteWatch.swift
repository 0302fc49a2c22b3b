import MeanderKernels
import MeanderModels

/// How far the steps of a model's long memories lie above their usual ones, token by token: what tells that its state wrote something
/// down. One job at a time looks with it.
final class WriteWatch: StepObserver, @unchecked Sendable {
  // Safe as Sendable: the job whose turn it is uses it alone.

  /// How many layers tell of each piece of a stream.
  private let layers: Int
  private var rates: [Double] = []
  /// Per head, the sum of the logarithms of its steps so far.
  private var sums: [Double] = []
  private var tokens = 0
  /// The heads that remember for long, looked for anew every 512 tokens.
  private var long: [Int] = []
  /// Each layer's steps of the piece that is being read, T × H.
  private var piece: [(heads: Int, steps: [Float])] = []
  private var found: [Double] = []

  /// A head remembers for long where its usual step forgets less than this share a token.
  private static let forgetting = 1e-4
  private static let grid = 512

  /// Nil for a model without a selective scan.
  init?(_ model: Model) {
    layers = model.language.scanningLayers
    if layers == 0 { return nil }
  }

  func see(_ dt: Matrix, heads: HeadGates, kernels: Kernels) {
    let watch = StepWatch()
    watch.see(dt, heads: heads, kernels: kernels)
    guard let layer = watch.layers.first else { return }
    if sums.isEmpty { rates += layer.rates }
    piece.append((layer.rates.count, layer.steps))
    if piece.count == layers { settle() }
  }

  private func settle() {
    defer { piece = [] }
    if sums.isEmpty { sums = [Double](repeating: 0, count: rates.count) }
    let count = piece.first.map { $0.steps.count / max(1, $0.heads) } ?? 0
    for row in 0..<count {
      if tokens % Self.grid == 0 { findLong() }
      var (head, best) = (0, 0.0)
      var logs = [Double](repeating: 0, count: sums.count)
      for layer in piece {
        for step in layer.steps[row * layer.heads..<(row + 1) * layer.heads] {
          logs[head] = logarithm(Double(max(step, .leastNormalMagnitude)))
          head += 1
        }
      }
      // A usual step is not known before there were some.
      if tokens >= 16 { for head in long { best = max(best, logs[head] - sums[head] / Double(tokens)) } }
      for head in sums.indices { sums[head] += logs[head] }
      tokens += 1
      found.append(best)
    }
  }

  private func findLong() {
    let decays = sums.indices.map { exponential(tokens > 0 ? sums[$0] / Double(tokens) : 0) * abs(rates[$0]) }
    long = decays.indices.filter { decays[$0] < Self.forgetting }
    // Nobody remembers for long: the quarter that remembers longest.
    if long.isEmpty { long = Array(decays.indices.sorted { (decays[$0], $0) < (decays[$1], $1) }.prefix(max(1, decays.count / 4))) }
  }

  /// What was found since this was last asked for, a number for each token.
  func take() -> [Double] {
    defer { found = [] }
    return found
  }
}
