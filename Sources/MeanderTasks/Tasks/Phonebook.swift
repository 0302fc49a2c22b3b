import MeanderFiles

/// A list of names and numbers, two entries of it once more to show what is wanted, and a third name whose number is
/// to be said (Jelassi and others 2024, "Repeat After Me").
///
/// The haystack is the book itself: it has `entries` lines, or as many as fill the bytes that are asked for. Numbers
/// have ten digits, the first from 6 to 9. Memory is linear in the book.
package struct Phonebook: RecallTask {
  package static let name = "phonebook"
  private static let bytesAnEntry = 28

  /// How many lines; nil where the length decides.
  package var entries: ClosedRange<Int>?

  package init(entries: ClosedRange<Int>? = nil) { self.entries = entries }

  package init(_ options: inout Configuration) throws {
    let hasEntries = options.has("entries")
    let range = try options.range("entries", 20...20, in: 3...1_000_000)
    self.init(entries: hasEntries ? range : nil)
  }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = entries.map { generator.integer(in: $0) } ?? max(3, filler / Self.bytesAnEntry)
    var seen: Set<String> = []
    var book: [(name: String, number: String)] = []
    while book.count < count {
      var name = generator.pick(Words.firstNames) + " " + generator.pick(Words.lastNames)
      // Names run out before lines do: then people get a second first name.
      while seen.contains(name) { name = generator.pick(Words.firstNames) + " " + name }
      seen.insert(name)
      book.append((name, "\(generator.integer(in: 6...9))\(generator.digits(9))"))
    }
    var places = generator.draw(3, of: Array(book.indices))
    if let depth {
      let place = min(count - 1, Int(Double(count) * min(1, max(0, depth))))
      if let other = places.firstIndex(of: place) { places.swapAt(0, other) } else { places[0] = place }
    }
    func line(_ entry: (name: String, number: String)) -> String { "\(entry.name): \(entry.number)\n" }
    let asked = book[places[0]]
    var example = Example()
    example.append(text: book.map(line).joined())
    example.append(text: "\n" + line(book[places[1]]) + line(book[places[2]]) + "\n\(asked.name):")
    example.append(answer: " " + asked.number)
    return example
  }
}
