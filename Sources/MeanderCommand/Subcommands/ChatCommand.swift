import ArgumentParser
import Meander
import MeanderErrors
import MeanderFiles

struct ChatCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "chat",
    abstract: "Converse with a model that was taught to.",
    discussion: Examples.discussion(
      "chat",
      """
      Each line of standard input is what the user says; each answer is printed as it is made. Both are written for the \
      model by its own chat template, or by --template. A template that asks for what is not understood is refused, and \
      what it was is said. What was said stays in the state, so that --save keeps a conversation for run or ask.
      """))

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions
  @OptionGroup var state: StateOptions
  @OptionGroup var format: FormatOptions

  @Option(help: ArgumentHelp("What the model is told before all.", valueName: "text"))
  var system: String?

  @Option(help: ArgumentHelp("A Jinja chat template in place of the model's own.", valueName: "file"))
  var template: String?

  @Option(
    name: [.customShort("n"), .long], parsing: .unconditional, help: "The longest answer in tokens; -1 for no bound.")
  var maxTokens = 1024

  @Option(parsing: .unconditionalSingleValue, help: "End an answer where this text appears (may be repeated).")
  var stop: [String] = []

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments

  func validate() throws {
    if maxTokens < -1 { throw ValidationError("Please give -n a number of tokens, or -1 for no bound.") }
  }

  func run() async throws {
    let given = try template.map { try Self.template($0) }
    let model = try await model.load(mitigations)
    let session = try state.session(model, sampling: try sampling.options(for: model))
    var conversation = try await Conversation(session, template: given, system: system)
    let output = Output.standard()
    let isTerminal = Terminal.isTerminal(.input)
    while let line = prompted(isTerminal) {
      if line.allSatisfy(\.isWhitespace) { continue }
      try await conversation.say(line)
      try await answer(in: &conversation, output)
      if Signals.interruptCount > 0 { break }
    }
    try await state.write(session)
    if Signals.interruptCount > 0 { throw Interrupted() }
  }

  private func prompted(_ isTerminal: Bool) -> String? {
    if isTerminal { Console.write("> ") }
    return readLine()
  }

  private func answer(in conversation: inout Conversation, _ output: Output) async throws {
    var text = ""
    var count = 0
    for try await token in conversation.session.generate(maximumTokens: maxTokens < 0 ? nil : maxTokens, stop: stop) {
      text += token.text
      count += 1
      if !format.json {
        try output.write(token.text)
        try output.flush()
      }
      if Signals.interruptCount > 0 { break }
    }
    conversation.answer(text)
    if format.json {
      try output.line(
        JSONText.object {
          $0.field("answer", text)
          $0.field("tokens", count)
        })
    } else if !text.hasSuffix("\n") {
      try output.write([UInt8(ascii: "\n")])
    }
    try output.flush()
  }

  private static func template(_ path: String) throws -> ChatTemplate {
    let file = try FileBytes.mapping(path)
    guard let text = String(validating: file.copy(), as: UTF8.self) else {
      throw MeanderError(.badData, "the template is not UTF-8", at: path)
    }
    return try ChatTemplate(text)
  }
}
