import MeanderFiles

/// A string of letters, to be said again in the order of the alphabet.
package struct Sorting: RecallTask {
  package static let name = "sorting"

  private let letters: Letters

  package init(_ options: inout Configuration) throws { letters = try Letters(&options) }

  package var filler: (any Filler)? { Letters.filler }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    letters.example(filler: filler, using: &generator) { $0.sorted() }
  }
}
