import MeanderErrors
import MeanderFiles

/// What a recipe says of the model it makes, for the `README.md` beside the weights.
package struct ModelCard: Sendable {
  package var title = "A recurrent language model"
  /// What it is for, and what it cannot do: paragraphs.
  package var description: [String] = []
  /// What it cannot do, a sentence each.
  package var limits: [String] = []
  package var licence = "Apache-2.0"
  /// How long the training took, on how much of a machine the description says.
  package var machineHours: Double?

  package init() {}

  init(_ options: inout Configuration) throws {
    title = try options.string("title", title)
    description = try options.strings("description", [])
    limits = try options.strings("limits", [])
    machineHours = try options.optionalFloat("machine_hours", in: 0...1e9)
    licence = try options.string("licence", licence)
    try options.finish()
  }
}
