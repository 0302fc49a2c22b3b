import MeanderFiles

/// A string of letters, to be said again in the order of the alphabet.
package struct Sorting: RecallTask {
  package static let name = "sorting"

  /// How many letters there are.
  package var count: ClosedRange<Int>

  package init(count: ClosedRange<Int> = 16...16) { self.count = count }

  package init(_ options: inout Configuration) throws {
    self.init(count: try options.range("count", 16...16, in: 1...1 << 16))
  }

  package var filler: (any Filler)? { RepeatedFiller([UInt8(ascii: ".")]) }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let letters = (0..<generator.integer(in: count)).map { _ in UInt8(ascii: "a") + UInt8(generator.below(26)) }
    var example = Example([.filler(filler), .text(letters)])
    example.append(text: "|")
    example.append(.answer(letters.sorted()))
    return example
  }
}
