import MeanderFiles

/// Symbols scattered over noise, to be repeated in their order at the end (Gu and Dao 2023; sizes as in MAD, Poli and
/// others 2024: 16 symbols of 16).
///
/// Over bytes: symbols are the first letters of the alphabet, noise is ".", and "|" asks for them.
package struct SelectiveCopying: RecallTask {
  package static let name = "selective-copying"

  /// How many symbols are to be copied.
  package var count: ClosedRange<Int>
  /// How many different symbols there are.
  package var alphabet: Int

  package init(count: ClosedRange<Int> = 16...16, alphabet: Int = 16) {
    self.count = count
    self.alphabet = alphabet
  }

  package init(_ options: inout Configuration) throws {
    self.init(
      count: try options.range("count", 16...16, in: 1...1024),
      alphabet: try options.integer("alphabet", 16, in: 2...26))
  }

  package var filler: (any Filler)? { RepeatedFiller([UInt8(ascii: ".")]) }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = generator.integer(in: count)
    let symbols = (0..<count).map { _ in UInt8(ascii: "A") + UInt8(generator.below(alphabet)) }
    let gaps = generator.split(filler, into: count + 1)
    var example = Example()
    for (gap, symbol) in zip(gaps, symbols) {
      example.append(.filler(gap))
      example.append(.text([symbol]))
    }
    example.append(.filler(gaps[count]))
    example.append(text: "|")
    example.append(.answer(symbols))
    return example
  }
}
