import ArgumentParser
import Meander
import MeanderModels

struct InspectCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "inspect",
    abstract: "Tell what a model is, how large its state, and what to expect of it.",
    usage: "meander inspect [<model>] [<options>]",
    discussion: Examples.discussion(
      "inspect",
      """
      The regime comes from published fits over six models, for Mamba-2 trained long enough (arXiv \
      2410.07145): the training length from which a state of this size forgets, and the length over which it \
      recalls a key.
      """))

  @Argument(help: ArgumentHelp("The model, in place of -m.", valueName: "model"))
  var name: String?

  @OptionGroup var model: ModelOptions
  @OptionGroup var format: FormatOptions

  func validate() throws {
    if name != nil, model.model != nil { throw ValidationError("Please name the model once.") }
  }

  func run() async throws {
    var options = model
    options.model = name ?? model.model
    let report = ModelReport(try await options.load())
    let output = Output.standard()
    if format.json {
      try output.line(report.json)
    } else {
      for (label, text) in report.rows { try output.line(label.rightPadded(to: 13) + text) }
    }
    try output.flush()
  }
}

/// What `inspect` tells.
struct ModelReport {
  private let model: Model
  private let regime: CapacityRegime

  init(_ model: Model) {
    self.model = model
    regime = CapacityRegime(stateFloats: model.recurrentFloats)
  }

  var rows: [(String, String)] {
    let facts = model.language.facts
    var rows = [
      ("model", model.name),
      ("architecture", model.architecture),
      ("shape", "\(facts.layers) layers, width \(facts.width), vocabulary \(grouped(facts.vocabulary))"),
      ("parameters", grouped(facts.parameters)),
      ("stored as", facts.storedType),
      ("weights", "\(grouped(model.weightByteCount)) bytes packed for \(model.compute.rawValue)"),
      ("state", "\(grouped(model.stateByteCount)) bytes, whatever the length"),
    ]
    model.contextTokens.map { rows.append(("attention", "holds \(grouped($0)) tokens of a stream")) }
    rows += [
      ("tokenizer", "\(model.tokenizer.kind), \(grouped(model.tokenizer.vocabularyCount)) tokens"),
      ("made for", model.purposes.isEmpty ? "not said" : model.purposes.joined(separator: ", ")),
      ("trained at", model.trainedLength.map { "\(grouped($0)) tokens with one state" } ?? "not said"),
      ("fingerprint", model.fingerprint),
    ]
    return model.recurrentFloats > 0 ? rows + regime.rows : rows
  }

  var json: [UInt8] {
    let facts = model.language.facts
    return JSONText.object { row in
      row.field("model", model.name)
      row.field("architecture", model.architecture)
      row.field("layers", facts.layers)
      row.field("width", facts.width)
      row.field("vocabulary", facts.vocabulary)
      row.field("parameters", facts.parameters)
      row.field("stored_type", facts.storedType)
      row.field("compute", model.compute.rawValue)
      row.field("weight_bytes", model.weightByteCount)
      row.field("state_bytes", model.stateByteCount)
      row.object("tokenizer") {
        $0.field("kind", model.tokenizer.kind)
        $0.field("vocabulary", model.tokenizer.vocabularyCount)
      }
      row.array("purposes") { list in model.purposes.forEach { list.element(string: $0) } }
      model.trainedLength.map { row.field("trained_length", $0) }
      model.answerTokens.map { row.field("answer_tokens", $0) }
      model.contextTokens.map { row.field("context_tokens", $0) }
      row.field("fingerprint", model.fingerprint)
      if model.recurrentFloats > 0 { row.object("regime") { regime.write(to: &$0) } }
    }
  }
}
