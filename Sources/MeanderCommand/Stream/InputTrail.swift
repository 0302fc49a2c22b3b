/// The last bytes that were read of an input, and a digest of them: what tells an input that was changed or
/// replaced.
struct InputTrail {
  /// How many of the last bytes the digest covers.
  static let reach = 4096

  /// How many bytes a digest covers, and the digest.
  struct Mark: Equatable {
    var count: Int
    var digest: UInt64
  }

  private var last: [UInt8] = []

  mutating func read(_ bytes: [UInt8]) {
    let fresh = bytes.suffix(Self.reach)
    last.removeFirst(max(0, last.count + fresh.count - Self.reach))
    last += fresh
  }

  /// Whether the last bytes are those that `mark` was taken of.
  func agrees(with mark: Mark) -> Bool {
    guard last.count >= mark.count else { return false }
    return Self.digest(last.suffix(mark.count)) == mark.digest
  }

  var digest: UInt64 { Self.digest(last[...]) }
  var mark: Mark { Mark(count: last.count, digest: digest) }

  /// FNV-1a over 64 bits (Fowler, Noll and Vo).
  private static func digest(_ bytes: ArraySlice<UInt8>) -> UInt64 {
    bytes.reduce(0xCBF2_9CE4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01B3 }
  }
}
