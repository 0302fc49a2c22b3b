import Glibc
import MeanderKernels

/// How attention knows where a token stands.
package enum AttentionPositions: Sendable {
  /// It does not (Haviv and others 2022), or the embedding tells.
  case none
  case rotary(Rotary)
  /// A penalty that grows with distance, for each head at its own slope (Press and others 2022).
  case linear
  /// A learned number for each head and bucket of distances, whose tensor has this name: buckets × H (Raffel and others 2020).
  case buckets(name: String, count: Int, largest: Int)

  var rotary: Rotary? {
    if case .rotary(let rotary) = self { rotary } else { nil }
  }
}

/// What a layer adds to its scores by distance.
struct DistanceBias: Sendable {
  /// H × distances, as `AttentionRule.biasTable` lays it out.
  let table: Matrix
  /// Learned numbers, buckets × H, and the bucket of each distance.
  let source: Matrix?
  let buckets: [Int]

  /// For distances below `length`; nil for positions that add nothing.
  init?(_ positions: AttentionPositions, heads: Int, length: Int, from reader: WeightReader) throws {
    switch positions {
    case .none, .rotary: return nil
    case .linear:
      (source, buckets) = (nil, [])
      table = AttentionRule.biasTable(
        Self.slopes(heads).map { slope in (0..<length).map { Float(-slope * Double($0)) } })
    case .buckets(let name, let count, let largest):
      let learned = try reader.matrix(name, rows: count, columns: heads)
      let buckets = (0..<length).map { Self.bucket(of: $0, count: count, largest: largest) }
      (source, self.buckets) = (learned, buckets)
      table = AttentionRule.biasTable((0..<heads).map { head in buckets.map { learned[$0, head] } })
    }
  }

  /// 2^(-8h/H) for the heads h from 1 to H; where H is no power of two, those of the next smaller one and every second of the next
  /// larger one.
  static func slopes(_ heads: Int) -> [Double] {
    var power = 1
    while power * 2 <= heads { power *= 2 }
    let first = (1...power).map { exp2(-8 * Double($0) / Double(power)) }
    let rest = stride(from: 1, to: 2 * power, by: 2).map { exp2(-4 * Double($0) / Double(power)) }
    return first + rest.prefix(heads - power)
  }

  /// Every near distance has a bucket of its own; beyond, they widen by a factor up to `largest`.
  static func bucket(of distance: Int, count: Int, largest: Int) -> Int {
    let near = count / 2
    guard distance >= near, near > 0 else { return min(distance, count - 1) }
    let share = log(Double(distance) / Double(near)) / log(Double(largest) / Double(near))
    return min(count - 1, near + Int(share * Double(count - near)))
  }

  /// Adds the gradient of the table to that of the learned numbers.
  func gather(_ gradients: Gradients, _ dtable: Matrix) {
    guard let source, let dsource = gradients.wanted(source) else { return }
    for (distance, bucket) in buckets.enumerated() {
      let place = AttentionRule.biasPlace(distance, of: buckets.count)
      for head in 0..<dtable.rows { dsource[bucket, head] += dtable[head, place] }
    }
  }
}
