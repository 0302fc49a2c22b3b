import Meander
import MeanderFiles

/// How surprising a stream is to a model, by how far in it a byte lies.
///
/// Positions fall into buckets that double: bytes 0 to 127, 128 to 255, 256 to 511, and so on.
struct StreamLoss {
  static let firstBucket = 128
  /// In bits, of the tokens that begin in each bucket.
  private(set) var bits: [Double] = []
  private(set) var bytes: [Int] = []
  private(set) var tokens: [Int] = []
  /// The position at which the gauge first raised an alarm.
  private(set) var alarm: Int?

  static func bucket(_ position: Int) -> Int {
    position < firstBucket ? 0 : Int.bitWidth - (position / firstBucket).leadingZeroBitCount
  }

  /// Where a bucket ends.
  static func end(_ bucket: Int) -> Int { firstBucket << bucket }

  /// Counts tokens whose positions count from `base`; `start` is where the first of them begins.
  mutating func add(_ scores: [TokenScore], from start: inout Int, base: Int) {
    for score in scores {
      let end = base + Int(score.end)
      let bucket = reach(start)
      bits[bucket] += score.bits
      bytes[bucket] += end - start
      tokens[bucket] += 1
      if alarm == nil, !score.alarms.isEmpty { alarm = end }
      start = end
    }
  }

  /// Counts a byte that is a token of its own.
  mutating func add(bits more: Double, at position: Int) {
    let bucket = reach(position)
    bits[bucket] += more
    bytes[bucket] += 1
    tokens[bucket] += 1
  }

  /// The bucket of a position, which is there from now on.
  private mutating func reach(_ position: Int) -> Int {
    let bucket = Self.bucket(position)
    while bits.count <= bucket {
      bits.append(0)
      bytes.append(0)
      tokens.append(0)
    }
    return bucket
  }

  var json: JSON {
    JSON([
      ("bits", .array(bits.map { JSON($0) })), ("bytes", .array(bytes.map { JSON($0) })),
      ("tokens", .array(tokens.map { JSON($0) })), ("alarm", alarm.map { JSON($0) } ?? .null),
    ])
  }

  init() {}

  init?(_ json: JSON) {
    guard let bits = json["bits"]?.array?.compactMap(\.double), let bytes = json["bytes"]?.array?.compactMap(\.integer),
      let tokens = json["tokens"]?.array?.compactMap(\.integer), bits.count == bytes.count, tokens.count == bytes.count
    else { return nil }
    self.bits = bits
    self.bytes = bytes
    self.tokens = tokens
    alarm = json["alarm"]?.integer
  }

  /// Bits a byte in one bucket; nil where nothing fell into it.
  func bitsPerByte(_ bucket: Int) -> Double? {
    guard bytes.indices.contains(bucket), bytes[bucket] > 0 else { return nil }
    return bits[bucket] / Double(bytes[bucket])
  }

  var totalBits: Double { bits.reduce(0, +) }
  var totalBytes: Int { bytes.reduce(0, +) }
  var totalTokens: Int { tokens.reduce(0, +) }
}
