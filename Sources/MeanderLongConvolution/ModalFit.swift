import Glibc
import MeanderKernels

/// One filter as a sum of modes: h[t] ≈ Σ_n Re(r_n λ_n^t) for t ≥ 1, and exactly h[0] = d + Σ_n Re r_n.
///
/// The modes come from the filter's Hankel matrix H[i, j] = h[1 + i + j], zeros beyond its end: its singular values say how many are worth having (no
/// filter of s modes is nearer than the one after s), and its leading vectors shift by what has the modes as eigenvalues (Kung 1978; as
/// in Laughing Hyena's analysis). The residues are then least squares over the whole range, on poles as fp32 holds them.
package struct ModalFit: Sendable {
  /// λ and r, as many of each.
  package private(set) var poles: [(real: Float, imaginary: Float)] = []
  package private(set) var residues: [(real: Float, imaginary: Float)] = []
  package private(set) var direct: Float = 0
  /// The largest singular values, in descending order.
  package private(set) var singular: [Double] = []
  /// How many of them were taken to be worth having: the order.
  package private(set) var order = 0
  /// RMS(difference) / RMS(filter), and the largest difference over the largest tap, over all lags.
  package private(set) var error = 0.0
  package private(set) var largestError = 0.0

  /// - Parameters:
  ///   - taps: h, K of them.
  ///   - tolerance: the order is the smallest whose next singular value is below this share of the first.
  ///   - largest: no order beyond this one.
  /// - Throws: `.limit` for a filter too long for transforms.
  package init(_ taps: [Float], tolerance: Double, largest: Int) throws {
    direct = taps.first ?? 0
    let tail = taps.dropFirst().map { Double($0) }
    let scale = tail.reduce(0) { max($0, abs($1)) }
    // A filter of one tap at most needs no mode.
    guard scale > 0 else { return }
    // What lies beyond the filter counts as zeros, which makes decaying modes of whatever stands in it; and where the half that needs no
    // zeros has decaying modes alone, it may know them better.
    for (sequence, needsStable) in [(tail + [Double](repeating: 0, count: tail.count - 1), false), (tail, true)] {
      let hankel = try HankelMatrix(sequence)
      guard hankel.size > 1 else { continue }
      let basis = try hankel.leading(min(largest + 8, hankel.size))
      let values = basis.values.map { abs($0) }
      let order = max(1, min(largest, values.firstIndex { $0 <= tolerance * values[0] } ?? values.count, hankel.size - 1))
      let (found, isStable) = Self.poles(of: Array(basis.vectors.prefix(order)))
      if needsStable, !isStable { continue }
      var other = self
      (other.singular, other.order) = (values, order)
      other.fit(found, taps)
      if poles.isEmpty || other.error < error { self = other }
    }
  }

  /// The eigenvalues of what shifts the leading vectors by one place, brought inside the unit circle: of pairs, one. And whether all
  /// lay there.
  private static func poles(of vectors: [[Double]]) -> ([Complex], isStable: Bool) {
    let (order, size) = (vectors.count, vectors.first?.count ?? 0)
    func dot(_ a: [Double], _ first: Int, _ b: [Double], _ second: Int) -> Double {
      var sum = 0.0
      for i in 0..<size - 1 { sum += a[i + first] * b[i + second] }
      return sum
    }
    let gram = (0..<order).map { row in (0..<order).map { dot(vectors[row], 0, vectors[$0], 0) } }
    let moved = (0..<order).map { row in (0..<order).map { dot(vectors[row], 0, vectors[$0], 1) } }
    let eigenvalues = Eigenvalues.general(solve(gram, moved))
    let largest = 1 - 0x1p-22
    let poles = eigenvalues.compactMap { value -> Complex? in
      guard value.imaginary > -1e-9, value.real.isFinite, value.imaginary.isFinite else { return nil }
      let isReal = value.imaginary < 1e-9
      let factor = value.magnitude > largest ? largest / value.magnitude : 1
      return Complex(factor * value.real, isReal ? 0 : factor * value.imaginary)
    }
    return (poles, eigenvalues.allSatisfy { $0.magnitude <= largest })
  }

  /// X of A·X = B, by elimination with the largest pivot; A is symmetric and positive.
  private static func solve(_ a: [[Double]], _ b: [[Double]]) -> [[Double]] {
    var (a, b) = (a, b)
    let n = a.count
    for k in 0..<n {
      let pivot = (k..<n).max { abs(a[$0][k]) < abs(a[$1][k]) } ?? k
      a.swapAt(k, pivot)
      b.swapAt(k, pivot)
      let top = a[k][k] == 0 ? 1e-300 : a[k][k]
      for row in 0..<n where row != k {
        let factor = a[row][k] / top
        if factor == 0 { continue }
        for column in k..<n { a[row][column] -= factor * a[k][column] }
        for column in b[row].indices { b[row][column] -= factor * b[k][column] }
      }
      for column in b[k].indices { b[k][column] /= top }
      a[k] = a[k].enumerated().map { $0.offset == k ? 1 : $0.element / top }
    }
    return b
  }

  /// The residues by least squares over all lags from 1 on, and what is left. A share of each residue stands in the sum of squares too,
  /// a thousand times what fp32 rounds off it: modes that are nearly alike would else be told apart by residues so large that in the
  /// stream rounding drowns the filter.
  private mutating func fit(_ found: [Complex], _ taps: [Float]) {
    (poles, residues) = (found.map { (Float($0.real), Float($0.imaginary)) }, [])
    let lags = taps.count - 1
    // One column for a real pole, two for a pair.
    var columns: [[Double]] = []
    for pole in poles {
      let factor = Complex(Double(pole.real), Double(pole.imaginary))
      var (power, real, imaginary) = (factor, [Double](), [Double]())
      for _ in 0..<lags {
        real.append(power.real)
        imaginary.append(-power.imaginary)
        power = power * factor
      }
      columns.append(real)
      if pole.imaginary != 0 { columns.append(imaginary) }
    }
    let target = taps.dropFirst().map { Double($0) }
    let penalized = columns.enumerated().map { index, column in
      let rounding = 0x1p-14 * norm(column)
      return column + columns.indices.map { $0 == index ? rounding : 0 }
    }
    let weights = Self.leastSquares(penalized, target + [Double](repeating: 0, count: columns.count))
    var next = 0
    for pole in poles {
      let isReal = pole.imaginary == 0
      residues.append((Float(weights[next]), isReal ? 0 : Float(weights[next + 1])))
      next += isReal ? 1 : 2
    }
    direct = Float(Double(taps[0]) - residues.reduce(0) { $0 + Double($1.real) })
    measure(taps)
  }

  private mutating func measure(_ taps: [Float]) {
    let modelled = response(taps.count)
    var (difference, size, worst, largest) = (0.0, 0.0, 0.0, 0.0)
    for (tap, value) in zip(taps, modelled) {
      let off = abs(Double(tap) - value)
      difference += off * off
      size += Double(tap) * Double(tap)
      worst = max(worst, off)
      largest = max(largest, abs(Double(tap)))
    }
    error = (difference / size).squareRoot()
    largestError = worst / largest
  }

  /// What the modes give for the first `count` lags.
  package func response(_ count: Int) -> [Double] {
    var values = [Double](repeating: 0, count: count)
    if count > 0 { values[0] = Double(direct) }
    for (pole, residue) in zip(poles, residues) {
      let factor = Complex(Double(pole.real), Double(pole.imaginary))
      var power = Complex(Double(residue.real), Double(residue.imaginary))
      for lag in 0..<count {
        values[lag] += power.real
        power = power * factor
      }
    }
    return values
  }

  /// The weights of columns whose sum is nearest to `target`: Gram and Schmidt's, twice over; a column that adds nothing gets none.
  private static func leastSquares(_ columns: [[Double]], _ target: [Double]) -> [Double] {
    let count = columns.count
    var basis: [[Double]] = []
    var triangle = [[Double]](repeating: [Double](repeating: 0, count: count), count: count)
    for (index, column) in columns.enumerated() {
      let before = norm(column)
      var rest = column
      for _ in 0..<2 {
        for (k, unit) in basis.enumerated() where triangle[k][k] != 0 {
          let share = dot(unit, rest)
          triangle[k][index] += share
          for i in rest.indices { rest[i] -= share * unit[i] }
        }
      }
      let size = norm(rest)
      let adds = size > 1e-11 * before && size > 0
      triangle[index][index] = adds ? size : 0
      basis.append(adds ? rest.map { $0 / size } : [])
    }
    var weights = [Double](repeating: 0, count: count)
    var rest = target
    var shares = weights
    for (k, unit) in basis.enumerated() where !unit.isEmpty {
      shares[k] = dot(unit, rest)
      for i in rest.indices { rest[i] -= shares[k] * unit[i] }
    }
    for k in (0..<count).reversed() where triangle[k][k] != 0 {
      let later = (k + 1..<max(k + 1, count)).reduce(0.0) { $0 + triangle[k][$1] * weights[$1] }
      weights[k] = (shares[k] - later) / triangle[k][k]
    }
    return weights
  }
}

func dot(_ a: [Double], _ b: [Double]) -> Double {
  var sums = SIMD4<Double>(repeating: 0)
  var i = 0
  while i + 4 <= a.count {
    let first = SIMD4<Double>(a[i], a[i + 1], a[i + 2], a[i + 3])
    let second = SIMD4<Double>(b[i], b[i + 1], b[i + 2], b[i + 3])
    sums += first * second
    i += 4
  }
  var sum = sums.sum()
  while i < a.count {
    sum += a[i] * b[i]
    i += 1
  }
  return sum
}

func norm(_ a: [Double]) -> Double { dot(a, a).squareRoot() }

/// The Hankel matrix of a sequence g, H[i, j] = g[i + j], of as many rows as columns: products with it are convolutions.
struct HankelMatrix {
  /// Rows, and columns.
  let size: Int
  private let sequence: [Double]
  private let scale: Double

  init(_ sequence: [Double]) throws {
    size = (sequence.count + 1) / 2
    scale = sequence.reduce(0) { max($0, abs($1)) }
    self.sequence = sequence.prefix(2 * size - 1).map { $0 }
  }

  /// Up to this many rows, products are sums over the definition: no slower, and in double precision.
  private static let small = 600

  func times(_ x: [Double]) throws -> [Double] {
    if size <= Self.small {
      return (0..<size).map { row in dot(Array(sequence[row..<row + size]), x) }
    }
    let peak = x.reduce(0) { max($0, abs($1)) }
    guard peak > 0 else { return x }
    // y[i] = Σ_j g[i + j]·x[j] stands at place i + size - 1 of g ∗ reversed x.
    let product = try FourierConvolution.causal(
      sequence.map { Float($0 / scale) }, x.reversed().map { Float($0 / peak) })
    return (0..<size).map { Double(product[$0 + size - 1]) * scale * peak }
  }

  /// The `count` eigenvalues of largest magnitude, about, and their vectors: those of the matrix within the space that two products
  /// with random vectors span (Halko, Martinsson and Tropp 2011).
  func leading(_ count: Int) throws -> (values: [Double], vectors: [[Double]]) {
    var generator = SplitMix64(seed: 1)
    var space = (0..<count).map { _ in (0..<size).map { _ in generator.normal() } }
    for _ in 0..<2 { space = Self.orthonormal(try space.map { try times($0) }) }
    let images = try space.map { try times($0) }
    let inner = (0..<space.count).map { row in
      (0..<space.count).map { (dot(space[row], images[$0]) + dot(space[$0], images[row])) / 2 }
    }
    let (values, small) = Eigenvalues.symmetric(inner)
    let vectors = small.map { weights in
      var vector = [Double](repeating: 0, count: size)
      for (weight, unit) in zip(weights, space) { for i in vector.indices { vector[i] += weight * unit[i] } }
      return vector
    }
    return (values, vectors)
  }

  private static func orthonormal(_ vectors: [[Double]]) -> [[Double]] {
    var basis: [[Double]] = []
    for vector in vectors {
      let before = norm(vector)
      var rest = vector
      for _ in 0..<2 {
        for unit in basis {
          let share = dot(unit, rest)
          for i in rest.indices { rest[i] -= share * unit[i] }
        }
      }
      let size = norm(rest)
      if size > 1e-13 * before, size > 0 { basis.append(rest.map { $0 / size }) }
    }
    return basis
  }
}
