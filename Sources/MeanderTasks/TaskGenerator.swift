/// The random numbers of tasks and fillers: SplitMix64 (Steele, Lea and Flood 2014), the same draws from the same seed
/// everywhere.
///
/// Sample i of a seed starts its own generator, so that any sample is made without those before it. The draws below
/// are our own rather than the standard library's, whose ways may change from release to release.
package struct TaskGenerator: RandomNumberGenerator, Sendable, Equatable {
  private var state: UInt64

  package init(seed: UInt64) { state = seed }

  /// The generator of one sample: no two pairs of seed and sample share a stretch of numbers that anybody would meet.
  package init(seed: UInt64, sample: UInt64) {
    state = Self.mix(Self.mix(seed &+ Self.step) ^ Self.mix(~sample &+ Self.step))
  }

  private static let step: UInt64 = 0x9E37_79B9_7F4A_7C15

  private static func mix(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }

  package mutating func next() -> UInt64 {
    state &+= Self.step
    return Self.mix(state)
  }

  /// A generator of its own for a part of what is being made, so that how much the part draws changes nothing after it.
  package mutating func fork() -> TaskGenerator { TaskGenerator(seed: next(), sample: next()) }

  /// Uniform in 0..<bound, which must be positive. Off by less than 2^-32 for bounds below 2^32.
  package mutating func below(_ bound: Int) -> Int {
    precondition(bound > 0, "a draw below \(bound)")
    return Int(next().multipliedFullWidth(by: UInt64(bound)).high)
  }

  package mutating func integer(in range: ClosedRange<Int>) -> Int {
    range.lowerBound + below(range.upperBound - range.lowerBound + 1)
  }

  /// Uniform in [0, 1), a multiple of 2^-53.
  package mutating func uniform() -> Double { Double(next() >> 11) * 0x1p-53 }

  /// True with probability `share`.
  package mutating func chance(_ share: Double) -> Bool { uniform() < share }

  /// One element; `elements` must not be empty.
  package mutating func pick<Element>(_ elements: [Element]) -> Element { elements[below(elements.count)] }

  /// `count` different elements in random order; all of them where there are fewer. O(elements).
  package mutating func draw<Element>(_ count: Int, of elements: [Element]) -> [Element] {
    var elements = elements
    let count = min(count, elements.count)
    for place in 0..<count { elements.swapAt(place, place + below(elements.count - place)) }
    return Array(elements.prefix(count))
  }

  /// `count` decimal digits, zeros in front included.
  package mutating func digits(_ count: Int) -> String {
    String(decoding: (0..<count).map { _ in UInt8(ascii: "0") + UInt8(below(10)) }, as: UTF8.self)
  }

  /// How `total` bytes fall into `parts` stretches when the cuts are uniform: RULER and Stuffed Mamba place needles so.
  package mutating func split(_ total: Int, into parts: Int) -> [Int] {
    let cuts = (0..<max(0, parts - 1)).map { _ in below(total + 1) }.sorted()
    return zip([0] + cuts, cuts + [total]).map { $1 - $0 }
  }
}
