import ArgumentParser
import Meander
import MeanderFiles

/// Which model answers where the reader is uncertain, and what of the input it reads again.
struct FallbackOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Ask this model where the answer is uncertain or the state raised an alarm; it reads the right parts of the input again.",
      valueName: "model"))
  var fallback: String?

  @Option(
    help: ArgumentHelp(
      "When an answer is uncertain: by a quantile of its tokens' log-probabilities, their sum, their average, the alarm alone, or @FILE "
        + "of `meander calibrate --deferral` (default: quantile).",
      valueName: "rule"))
  var deferral: String?

  @Option(
    parsing: .unconditional,
    help: ArgumentHelp("An answer is uncertain where that lies below this (default: -1 for the quantile).", valueName: "nats"))
  var fallbackBelow: Double?

  @Option(help: ArgumentHelp("Which quantile: 0 is the least certain token (default: 0.1).", valueName: "q"))
  var fallbackQuantile: Double?

  @Option(
    help: ArgumentHelp(
      "How many tokens the fallback reads at a time (default: what its attention holds, else 4096).", valueName: "n"))
  var fallbackTokens: Int?

  @Option(
    help: ArgumentHelp(
      "What the fallback reads: of the segments marked on the way those after which it is most certain (candidates), of all, or the "
        + "last of the input.",
      valueName: "candidates|all|last"))
  var score: CascadeOptions.Scoring?

  @Option(
    help: ArgumentHelp(
      "Read at most so much of the input again for a question (default: a twentieth of it, 2K at least).", valueName: "size"))
  var rereadBytes: ByteSize?

  @Option(help: ArgumentHelp("Score segments for at most so many seconds a question.", valueName: "seconds"))
  var rereadSeconds: Double?

  @Option(
    help: ArgumentHelp("A pipe's last bytes are kept on disk to be read again, so many (default: 1G).", valueName: "size"))
  var spool: ByteSize?

  private var areGiven: Bool {
    deferral != nil || fallbackBelow != nil || fallbackQuantile != nil || fallbackTokens != nil || score != nil
      || rereadBytes != nil || rereadSeconds != nil || spool != nil
  }

  func validate() throws {
    if fallback == nil, areGiven { throw ValidationError("Please give --fallback a model.") }
    if let rereadSeconds, !(rereadSeconds >= 0) { throw ValidationError("Please give --reread-seconds a number from 0 on.") }
  }

  /// The rule that was asked for.
  private func rule() throws -> DeferralRule {
    let name = deferral ?? "quantile"
    var rule = try name.hasPrefix("@") ? DeferralRule(contentsOf: String(name.dropFirst())) : DeferralRule(named: name)
    if let fallbackBelow { rule.threshold = fallbackBelow }
    if let fallbackQuantile {
      guard case .quantile = rule.statistic else { throw ValidationError("Please give --fallback-quantile to the quantile alone.") }
      rule.statistic = .quantile(fallbackQuantile)
    }
    return rule
  }

  /// A cascade over `session` with the fallback loaded into its engine; nil where none is asked for.
  ///
  /// - Parameter input: what is about to be fed; nil where nothing is.
  func cascade(
    _ session: Session, _ model: ModelOptions, questions: [String], input: InputReader?
  ) async throws -> Cascade? {
    guard let fallback else { return nil }
    var options = CascadeOptions()
    options.rule = try rule()
    options.scoring = score ?? .candidates
    options.tokens = fallbackTokens
    options.rereadBytes = rereadBytes.map { Int64($0.bytes) }
    options.rereadSeconds = rereadSeconds
    let other = try await Model.load(
      fallback, engine: session.model.engine, compute: model.compute?.value, context: model.context.bound)
    var past: CascadeInput?
    if let input, spool == nil, let start = input.position {
      past = try .reader(input, from: start)
    } else if let spool {
      past = try .spool(bytes: Int64(spool.bytes))
    }
    return try Cascade(session, fallback: other, options: options, questions: questions, input: past)
  }
}

extension CascadeOptions.Scoring: ExpressibleByArgument {}

extension CascadeAnswer {
  func write(to row: inout JSONText) {
    row.field("model", model)
    row.field("fallback", reason != nil)
    row.field("reason", reason?.name ?? "certain")
    confidence.map { row.field("confidence", $0, places: 6) }
    if case .alarm(let alarm) = reason { row.field("alarm", alarm.text) }
    guard reason != nil else { return }
    row.field("own", own.text)
    row.field("reread_bytes", rereadBytes)
    row.field("skipped", skipped)
    row.field("lost", lost)
    row.field("seconds_reader", seconds.0, places: 3)
    row.field("seconds_scoring", seconds.1, places: 3)
    row.field("seconds_fallback", seconds.2, places: 3)
    row.array("looks") { list in
      for look in looks {
        list.elementObject {
          $0.field("offset", look.offset)
          $0.field("bytes", look.count)
          if let entropy = look.entropy { $0.field("entropy", entropy, places: 6) }
          $0.field("used", look.isUsed)
        }
      }
    }
  }

  /// What people are told beside the answer.
  var note: String? {
    guard let reason else { return nil }
    let used = looks.filter(\.isUsed).count
    let left = skipped > 0 ? ", and \(skipped) more were not looked at\(lost > 0 ? " (\(lost) are no longer in the spool)" : "")" : ""
    return "\(model) answers from \(used) of \(looks.count) parts of the input: \(reason.text)\(left)"
  }
}

extension CascadeAnswer.Reason {
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
