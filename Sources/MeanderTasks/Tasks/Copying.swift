import MeanderFiles

/// A string of letters, to be said again (Kazemnejad and others 2023 take it for the simplest test of length
/// generalization).
package struct Copying: RecallTask {
  package static let name = "copying"

  private let letters: Letters

  package init(_ options: inout Configuration) throws { letters = try Letters(&options) }

  package var filler: (any Filler)? { Letters.filler }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    letters.example(filler: filler, using: &generator) { $0 }
  }
}
