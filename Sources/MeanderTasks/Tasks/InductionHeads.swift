import MeanderFiles

/// A marker stands once among random symbols; when it comes again at the end, what followed it is to be said (Olsson
/// and others 2022, as Fu and others 2022 and Gu and Dao 2023 measure it: trained at 256, asked at up to 2^20).
///
/// Over bytes: symbols are lower-case letters, the marker is "#".
package struct InductionHeads: RecallTask {
  package static let name = "induction"

  /// How many symbols behind the marker are to be said.
  package var count: Int
  package var alphabet: Int

  package init(count: Int = 1, alphabet: Int = 16) {
    self.count = count
    self.alphabet = alphabet
  }

  package init(_ options: inout Configuration) throws {
    self.init(
      count: try options.integer("count", 1, in: 1...64), alphabet: try options.integer("alphabet", 16, in: 2...26))
  }

  private var symbols: [UInt8] { (0..<alphabet).map { UInt8(ascii: "a") + UInt8($0) } }
  package var filler: (any Filler)? { DrawnFiller.symbols(symbols) }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let drawn = generator.uniform()
    let answer = (0..<count).map { _ in generator.pick(symbols) }
    let before = min(filler, Int((Double(filler) * (depth ?? drawn)).rounded()))
    var example = Example([.filler(before), .text([UInt8(ascii: "#")] + answer), .filler(filler - before)])
    example.append(text: "#")
    example.append(.answer(answer))
    return example
  }
}
