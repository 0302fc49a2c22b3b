import ArgumentParser
import Meander

/// Which model answers where the reader is uncertain.
struct FallbackOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Ask this model where the answer is uncertain or the state raised an alarm; it reads the last tokens of the input again.",
      valueName: "model"))
  var fallback: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp(
      "An answer is uncertain where the quantile of its tokens' log-probabilities lies below this (default: -1).",
      valueName: "nats"))
  var fallbackBelow: Double?

  @Option(help: ArgumentHelp("Which quantile: 0 is the least certain token (default: 0.1).", valueName: "q"))
  var fallbackQuantile: Double?

  @Option(
    help: ArgumentHelp(
      "How many of the last tokens the fallback reads (default: what its attention holds, else 4096).", valueName: "n"))
  var fallbackTokens: Int?

  func validate() throws {
    if fallback == nil, fallbackBelow != nil || fallbackQuantile != nil || fallbackTokens != nil {
      throw ValidationError("Please give --fallback a model.")
    }
  }

  /// A reader over `session` with the fallback loaded into its engine; nil where none is asked for.
  func reader(_ session: Session, _ options: ModelOptions) async throws -> FallbackReader? {
    guard let fallback else { return nil }
    let model = try await Model.load(
      fallback, engine: session.model.engine, compute: options.compute?.value, context: options.context.bound)
    var rule = FallbackRule()
    if let fallbackBelow { rule.threshold = fallbackBelow }
    if let fallbackQuantile { rule.quantile = fallbackQuantile }
    rule.tokens = fallbackTokens
    return try FallbackReader(session, fallback: model, rule: rule)
  }
}

extension FallbackAnswer {
  func write(to row: inout JSONText) {
    row.field("model", model)
    row.field("fallback", reason != nil)
    row.field("reason", reason?.name ?? "certain")
    confidence.map { row.field("confidence", $0, places: 6) }
    if case .alarm(let alarm) = reason { row.field("alarm", alarm.text) }
  }
}

extension FallbackAnswer.Reason {
  var name: String {
    switch self {
    case .uncertain: "uncertain"
    case .alarm: "alarm"
    case .silent: "silent"
    }
  }

  var text: String {
    switch self {
    case .uncertain: "the reader is uncertain"
    case .alarm(let alarm): alarm.text
    case .silent: "the reader had nothing to say"
    }
  }
}
