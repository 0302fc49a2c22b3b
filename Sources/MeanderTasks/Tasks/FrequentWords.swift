import MeanderFiles

/// A text of coded words, and the question which three are the most frequent (after RULER's `fwe`, Hsieh and others
/// 2024).
///
/// The word of rank k has its share by a zeta law, k^-2 (RULER's alpha of 2), so the three stand well apart; words
/// that the law leaves no room for occur once. The text is the haystack: it is as long as the bytes that are asked
/// for. Memory is linear in it.
package struct FrequentWords: RecallTask {
  package static let name = "frequent-words"
  private static let letters = 6
  private static let wordsALine = 12
  /// The sum of k^-2.
  private static let total = 1.6449340668482264

  package init() {}
  package init(_ options: inout Configuration) throws {}

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = max(16, filler / (Self.letters + 1))
    var counts: [Int] = []
    var left = count
    while left > 0 {
      let rank = Double(counts.count + 1)
      let share = Int(Double(count) / (Self.total * rank * rank))
      // However short the text, the first three differ from each other and from all others.
      let least = counts.count < 3 ? [4, 3, 2][counts.count] : 1
      counts.append(min(left, max(share, least)))
      left -= counts[counts.count - 1]
    }
    var seen: Set<String> = []
    var words: [String] = []
    while words.count < counts.count {
      let word = String(
        decoding: (0..<Self.letters).map { _ in UInt8(ascii: "a") + UInt8(generator.below(26)) }, as: UTF8.self)
      if seen.insert(word).inserted { words.append(word) }
    }
    let ordered = generator.draw(count, of: zip(words, counts).flatMap { Array(repeating: $0, count: $1) })
    var text: [UInt8] = []
    text.reserveCapacity(count * (Self.letters + 1))
    for (place, word) in ordered.enumerated() {
      text += word.utf8
      text.append(UInt8(ascii: place % Self.wordsALine == Self.wordsALine - 1 || place == count - 1 ? "\n" : " "))
    }
    var example = Example()
    example.append(text: "Count how often each coded word of the following text occurs.\n")
    example.append(.text(text))
    example.append(
      text: "Which three coded words occur most often in the text above? From the most frequent on, they are:")
    example.append(answer: " " + words[..<3].joined(separator: " "))
    return example
  }
}
