import ArgumentParser
import Meander
import MeanderFiles

struct AskCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "ask",
    abstract: "Read standard input, if there is one, then answer each question.",
    discussion: Examples.discussion(
      "ask",
      """
      Every question is put to a fork of the same state, so none knows of another. A question is fed as it \
      stands: whether it should end in a space depends on the model. One answer a line; an answer ends at \
      its first line break unless --stop says otherwise.
      """))

  @Argument(help: "What to ask.")
  var question: [String]

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions
  @OptionGroup var state: StateOptions
  @OptionGroup var format: FormatOptions

  @Option(
    name: [.customShort("n"), .long], parsing: .unconditional,
    help: "The longest answer in tokens; -1 for no bound (default: what the model was made for, else 64).")
  var maxTokens: Int?

  @Option(
    parsing: .unconditionalSingleValue,
    help: "End an answer where this text appears, in place of a line break (may be repeated).")
  var stop: [String] = []

  @OptionGroup var fallback: FallbackOptions
  @OptionGroup(title: "Sampling") var sampling: SamplingArguments

  func validate() throws {
    if question.isEmpty { throw ValidationError("Please give at least one question.") }
    if let maxTokens, maxTokens < -1 { throw ValidationError("Please give -n a number of tokens, or -1 for no bound.") }
  }

  func run() async throws {
    let model = try await model.load(mitigations)
    let options = try sampling.options(for: model)
    let session = try state.session(model, sampling: options)
    try await session.begin()
    let override = state.load != nil && sampling.areGiven ? options : nil
    let input = Terminal.isTerminal(.input) ? nil : try InputReader.standardInput()
    let cascade = try await fallback.cascade(session, self.model, questions: question, input: input)
    do {
      if input != nil {
        try await Reading(session: session, feed: cascade.map { cascade in { try await cascade.feed(bytes: $0) } }).run()
      }
    } catch is Interrupted {
      try await state.write(session)
      throw Interrupted()
    }
    try await state.write(session)
    let output = Output.standard()
    for text in question {
      let answer: Answer
      if let cascade {
        answer = try await self.answer(text, from: cascade, override)
      } else {
        answer = try await self.answer(text, from: session, override)
      }
      if format.json {
        try output.line(
          JSONText.object {
            $0.field("question", text)
            $0.field("answer", answer.text)
            $0.field("tokens", answer.tokens)
            answer.source?.write(to: &$0)
          })
      } else {
        try output.line(answer.text.map { $0.isNewline ? " " : String($0) }.joined())
      }
      try output.flush()
    }
  }

  private struct Answer {
    var text: String
    var tokens: Int
    /// Who gave it and why, where there was a choice.
    var source: CascadeAnswer?
  }

  private var stops: [String] { stop.isEmpty ? ["\n"] : stop }

  private func bound(_ model: Model) -> Int? {
    let bound = maxTokens ?? model.answerTokens ?? 64
    return bound < 0 ? nil : bound
  }

  private func answer(
    _ question: String, from cascade: Cascade, _ options: SamplingOptions?
  ) async throws -> Answer {
    let answer = try await cascade.answer(
      question, sampling: options, maximumTokens: bound(cascade.reader.model), stop: stops)
    if Signals.interruptCount > 0 { throw Interrupted() }
    if let note = answer.note, !format.json { Console.note(note) }
    return Answer(text: answer.text, tokens: answer.tokens, source: answer)
  }

  private func answer(_ question: String, from session: Session, _ options: SamplingOptions?) async throws -> Answer {
    let fork = try await session.fork()
    try await fork.feed(question)
    var text = ""
    var tokens = 0
    for try await token in fork.generate(options, maximumTokens: bound(session.model), stop: stops) {
      if Signals.interruptCount > 0 { throw Interrupted() }
      text += token.text
      tokens += 1
    }
    return Answer(text: text, tokens: tokens)
  }
}
