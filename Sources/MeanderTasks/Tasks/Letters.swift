import MeanderFiles

/// A string of letters, behind which something is to be said of it.
struct Letters: Sendable, Hashable {
  /// How many there are.
  private let count: ClosedRange<Int>

  static let filler = RepeatedFiller([UInt8(ascii: ".")])

  init(_ options: inout Configuration) throws {
    count = try options.range("count", 16...16, in: 1...1 << 16)
  }

  /// Filler, the letters, a bar, and what is to be said.
  func example(
    filler: Int, using generator: inout TaskGenerator, answer: ([UInt8]) -> [UInt8]
  ) -> Example {
    let letters = (0..<generator.integer(in: count)).map { _ in UInt8(ascii: "a") + UInt8(generator.below(26)) }
    var example = Example([.filler(filler), .text(letters)])
    example.append(text: "|")
    example.append(.answer(answer(letters)))
    return example
  }
}
