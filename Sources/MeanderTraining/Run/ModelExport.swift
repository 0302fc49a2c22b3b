import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText

extension Trainer {
  /// Writes the model as a Hugging Face folder: `config.json`, `model.safetensors`, the tokenizer's file where it has one, and
  /// its card, `README.md`, with the figures that are given.
  public func export(to folder: String, figures: [(name: String, value: Double)] = []) throws {
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
    try AtomicFile.write("\(folder)/README.md", mode: 0o644, bytes: Array(card(figures).utf8))
    if let trained = lanes.trained { try export(trained, to: "\(folder)/initial.safetensors") }
  }

  /// The learned initial state, region by region as snapshots hold them.
  private func export(_ trained: TrainedState, to path: String) throws {
    var writer = SafeTensorsWriter()
    for region in trained.regions { try writer.add(region.name, region.shape, floats: region.matrix(in: trained.value).array()) }
    try writer.write(to: path, mode: 0o644)
  }

  private func card(_ figures: [(name: String, value: Double)]) -> String {
    let card = recipe.card
    var facts = [
      ("parameters", "\(model.parameters.count)"), ("steps", "\(step)"), ("tokens read in training", "\(tokens)"),
      ("longest segment", "\(recipe.length) tokens"), ("seed", "\(recipe.seed)"), ("weights' licence", card.licence),
    ]
    if let hours = card.machineHours { facts.append(("machine-hours", "\(hours)")) }
    func table(_ rows: [(String, String)]) -> [String] { ["| | |", "|---|---|"] + rows.map { "| \($0) | \($1) |" } }
    var lines = ["# \(card.title)", ""] + card.description.flatMap { [$0, ""] } + table(facts)
    lines += ["", "## Data", ""] + recipe.data.map { source in
      let paths = source.options["paths"]?.array?.compactMap(\.string) ?? source.options["path"]?.string.map { [$0] } ?? []
      let what = [source.options["task"]?.string.map { " \($0)" } ?? "", paths.isEmpty ? "" : ": " + paths.joined(separator: ", ")]
      return "- \(source.kind)\(what[0]), share \(source.share)\(what[1])"
    }
    if !figures.isEmpty {
      let rows = figures.map { ($0.name, "\(($0.value * 1e4).rounded() / 1e4)") }
      lines += ["", "## Figures", ""] + table(rows)
    }
    let limits = card.limits.isEmpty
      ? ["Nothing was measured beyond the figures above. What it makes of longer input, or of other text, is unknown."]
      : card.limits
    lines += ["", "## Limits", ""] + limits.map { "- \($0)" }
    lines += ["", "## Recipe", "", "```json", String(decoding: recipe.json.write(), as: UTF8.self), "```", ""]
    return lines.joined(separator: "\n")
  }
}
