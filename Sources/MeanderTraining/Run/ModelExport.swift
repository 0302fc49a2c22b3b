import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText

extension Trainer {
  /// Writes the model as a Hugging Face folder: `config.json`, `model.safetensors`, the tokenizer's file where it has one, and
  /// its card, `README.md`.
  public func export(to folder: String) throws {
    try Folder.make(folder)
    var writer = SafeTensorsWriter()
    writer.metadata = ["format": "pt"]
    let weights = optimizerState.average.flatMap { optimizerState.steps > 0 ? $0 : nil } ?? model.parameters.storage
    for entry in model.parameters.entries {
      let values = model.parameters.matrix(entry, in: weights).array()
      if recipe.stored == .bf16, entry.shape.count > 1 {
        try writer.add(entry.name, .bf16, entry.shape, bytes: Narrowing.bf16(values))
      } else {
        try writer.add(entry.name, entry.shape, floats: values)
      }
    }
    try writer.write(to: "\(folder)/model.safetensors", mode: 0o644)
    try AtomicFile.write("\(folder)/config.json", mode: 0o644, bytes: model.configuration.write() + [0x0a])
    if let path = recipe.tokenizer {
      try AtomicFile.write("\(folder)/tokenizer.json", mode: 0o644, bytes: try FileBytes.mapping(recipe.resolved(path)).copy())
    }
    try AtomicFile.write("\(folder)/README.md", mode: 0o644, bytes: Array(card.utf8))
    if let trained = lanes.trained { try export(trained, to: "\(folder)/initial.safetensors") }
  }

  /// The learned initial state, region by region as snapshots hold them.
  private func export(_ trained: TrainedState, to path: String) throws {
    var writer = SafeTensorsWriter()
    for region in trained.regions { try writer.add(region.name, region.shape, floats: region.matrix(in: trained.value).array()) }
    try writer.write(to: path, mode: 0o644)
  }

  private var card: String {
    let lines = [
      "# \(recipe.card.title)", "", recipe.card.description.joined(separator: "\n\n"), "",
      "| | |", "|---|---|", "| parameters | \(model.parameters.count) |", "| steps | \(step) |", "| tokens read in training | \(tokens) |",
      "| longest segment | \(recipe.length) tokens |", "| seed | \(recipe.seed) |", "| weights' licence | \(recipe.card.licence) |", "",
      "## Recipe", "", "```json", String(decoding: recipe.json.write(), as: UTF8.self), "```", "",
    ]
    return lines.joined(separator: "\n")
  }
}
