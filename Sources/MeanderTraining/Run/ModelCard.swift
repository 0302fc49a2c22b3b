import MeanderErrors
import MeanderFiles

/// What a recipe says of the model it makes, for the `README.md` beside the weights.
package struct ModelCard: Sendable {
  package var title = "A recurrent language model"
  /// What it is for, and what it cannot do: paragraphs.
  package var description: [String] = []
  package var licence = "Apache-2.0"

  package init() {}

  init(_ options: inout Configuration) throws {
    title = try options.string("title", title)
    description = try options.strings("description", [])
    licence = try options.string("licence", licence)
    try options.finish()
  }
}
