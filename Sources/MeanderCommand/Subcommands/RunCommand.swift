import ArgumentParser
import Meander
import MeanderFiles

struct RunCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "run",
    abstract: "Continue a text.",
    discussion: Examples.discussion(
      "run",
      """
      The text is --prompt, or standard input where no prompt is given. The continuation alone is printed, \
      as soon as it is whole characters. With --json, one object for each token, then one that says why the \
      text ended.
      """))

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions
  @OptionGroup var state: StateOptions
  @OptionGroup var format: FormatOptions

  @Option(name: [.short, .long], parsing: .unconditional, help: "The text to continue.")
  var prompt: String?

  @Option(name: [.customShort("n"), .long], parsing: .unconditional, help: "How many tokens at most; -1 for no bound.")
  var maxTokens = 256

  @Option(parsing: .unconditionalSingleValue, help: "End where this text appears (may be repeated).")
  var stop: [String] = []

  @Option(help: "With each token, tell this many of the likeliest ones (implies --json).")
  var logprobs: Int?

  @Option(
    name: [.customShort("c"), .customLong("ctx-size")], help: "Accepted and not needed: there is no context limit.")
  var contextSize: Int?

  @OptionGroup(title: "Sampling") var sampling: SamplingArguments

  func validate() throws {
    if maxTokens < -1 { throw ValidationError("Please give -n a number of tokens, or -1 for no bound.") }
    if let logprobs, !(0...1000).contains(logprobs) {
      throw ValidationError("Please give --logprobs a number from 0 to 1000.")
    }
  }

  func run() async throws {
    if contextSize != nil { Console.note("-c is not needed: any length of text is read in the same memory") }
    let model = try await model.load(mitigations)
    let options = try sampling.options(for: model)
    let session = try state.session(model, sampling: options)
    let override = state.load != nil && sampling.areGiven ? options : nil
    try await read(into: session)
    let output = Output.standard()
    let isInterrupted = try await generate(from: session, override, output)
    try output.flush()
    try await state.write(session)
    if isInterrupted { throw Interrupted() }
  }

  private func read(into session: Session) async throws {
    let start = session.position
    try await session.begin()
    if let prompt {
      try await session.feed(prompt)
    } else if !Terminal.isTerminal(.input) {
      try await Reading(session: session).run()
    }
    guard session.bytesRead > 0 || start > 0 else {
      throw MeanderError(
        .badRequest, "there is no text to continue",
        remedy: "Give one with -p, on standard input, or as a state with --load.")
    }
  }

  /// Prints token after token; true where an interrupt ended the text.
  private func generate(from session: Session, _ options: SamplingOptions?, _ output: Output) async throws -> Bool {
    let isJSON = format.json || logprobs != nil
    var count = 0
    var lastByte: UInt8?
    var isInterrupted = false
    let tokens = session.generate(
      options, maximumTokens: maxTokens < 0 ? nil : maxTokens, stop: stop, topCount: logprobs ?? 0)
    for try await token in tokens {
      count += 1
      lastByte = token.text.utf8.last ?? lastByte
      if isJSON { try output.line(json(token, session.model)) } else { try output.write(token.text) }
      try output.flush()
      if Signals.interruptCount > 0 {
        isInterrupted = true
        break
      }
    }
    if isJSON {
      let reason = isInterrupted ? "interrupt" : count == maxTokens ? "length" : "stop"
      try output.line(
        JSONText.object {
          $0.field("tokens", count)
          $0.field("finish_reason", reason)
        })
    } else if lastByte != UInt8(ascii: "\n"), Terminal.isTerminal(.output) {
      try output.write([UInt8(ascii: "\n")])
    }
    return isInterrupted
  }

  private func json(_ token: Token, _ model: Model) -> [UInt8] {
    JSONText.object { row in
      row.field("id", token.id)
      row.field("text", token.text)
      row.field("logprob", token.logProbability, places: 6)
      guard logprobs != nil else { return }
      row.array("top_logprobs") { top in
        for choice in token.top {
          top.elementObject {
            $0.field("id", choice.id)
            $0.field("text", text: model.tokenizer.bytes(of: choice.id))
            $0.field("logprob", choice.logProbability, places: 6)
          }
        }
      }
    }
  }
}
