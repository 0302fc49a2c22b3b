import Glibc
import MeanderFiles

/// Multi-query associative recall (Arora and others 2023, "Zoology"): pairs of key and value, then every key again at
/// growing distances, each followed by its value.
///
/// Over bytes: keys are drawn from 1 to 127, values from 128 to 255, and 0 fills the gaps. A vocabulary of bytes thus
/// holds 127 pairs at most, where the paper has 8,192 tokens and up to 256 pairs. The gaps before the queries follow
/// the paper's power law, p ~ g^(a - 1) with a = 0.01: most queries come soon, some late.
package struct AssociativeRecall: RecallTask {
  package static let name = "mqar"
  private static let exponent = 0.01

  package var pairs: ClosedRange<Int>

  package init(pairs: ClosedRange<Int> = 4...4) { self.pairs = pairs }

  package init(_ options: inout Configuration) throws {
    self.init(pairs: try options.range("pairs", 4...4, in: 1...127))
  }

  package var filler: (any Filler)? { RepeatedFiller([0]) }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = generator.integer(in: pairs)
    let keys = generator.draw(count, of: (1...127).map { UInt8($0) })
    let values = keys.map { _ in UInt8(generator.integer(in: 128...255)) }
    var example = Example([.text(zip(keys, values).flatMap { [$0, $1] })])
    // Where in the filler each key is asked for; more than one query may stand at a place.
    let places = (0..<count).map { _ in Self.gap(upTo: filler, &generator) }.sorted()
    let order = generator.draw(count, of: Array(0..<count))
    var place = 0
    for (query, pair) in zip(places, order) {
      example.append(.filler(query - place))
      place = query
      example.append(.text([keys[pair]]))
      example.append(.answer([values[pair]]))
    }
    example.append(.filler(filler - place))
    return example
  }

  /// A gap in 0...bound by the power law, by inversion of its integral, (x^a - 1) / a.
  private static func gap(upTo bound: Int, _ generator: inout TaskGenerator) -> Int {
    let a = exponent
    let u = generator.uniform()
    let top = pow(Double(bound + 1), a)
    let x = pow(1 + u * (top - 1), 1 / a)
    return min(bound, max(0, Int(x) - 1))
  }
}
