import MeanderErrors
import MeanderFiles

/// How a model was taught to see a conversation: a Jinja template, as published models carry it.
///
/// What templates use of Jinja is understood (Docs/Chat.md lists it); anything else is refused by name when it is met, never
/// rendered another way.
public struct ChatTemplate: Sendable {
  /// Who says what.
  public struct Message: Sendable, Hashable {
    /// `system`, `user`, `assistant`, or what else the template knows.
    public var role: String
    /// What is said.
    public var content: String

    /// A message of `role`.
    public init(role: String, content: String) {
      self.role = role
      self.content = content
    }
  }

  /// The template itself.
  public let source: String
  private let statements: [TemplateStatement]
  /// What the template's names for the tokens around a text stand for: `bos_token` and `eos_token`.
  private let tokens: [String: TemplateValue]

  /// Reads a template. Linear in its length.
  ///
  /// - Parameters:
  ///   - source: the template.
  ///   - beginOfText: what `bos_token` stands for.
  ///   - endOfText: what `eos_token` stands for.
  /// - Throws: `badData` for what is no template, `unsupported` for a statement that is not understood, naming it.
  public init(_ source: String, beginOfText: String? = nil, endOfText: String? = nil) throws {
    self.source = source
    statements = try TemplateParser.parse(source)
    var tokens: [String: TemplateValue] = [:]
    if let beginOfText { tokens["bos_token"] = .text(beginOfText) }
    if let endOfText { tokens["eos_token"] = .text(endOfText) }
    self.tokens = tokens
  }

  /// The text that stands for a conversation.
  ///
  /// - Parameters:
  ///   - messages: the conversation so far.
  ///   - addsGenerationPrompt: whether the text ends where the model's answer begins.
  ///   - time: seconds since the beginning of 1970 on the clock on the wall, for templates that name the day.
  /// - Throws: `unsupported` for what is not understood, naming it; `badRequest` where the template refuses the messages, with its
  ///   reason; `badData` where it fails.
  public func render(_ messages: [Message], addsGenerationPrompt: Bool = true, time: Int = 0) throws -> String {
    let list = messages.map { message -> TemplateValue in
      .dictionary(TemplateDictionary([("role", .text(message.role)), ("content", .text(message.content))]))
    }
    return try render(["messages": .list(list), "add_generation_prompt": .bool(addsGenerationPrompt)], time: time)
  }

  /// The same with any variables, for tests: `messages` may hold what no `Message` does.
  package func render(_ variables: JSON, time: Int = 0) throws -> String {
    var values: [String: TemplateValue] = [:]
    for member in variables.object?.members ?? [] { values[member.key] = TemplateValue(member.value) }
    return try render(values, time: time)
  }

  private func render(_ variables: [String: TemplateValue], time: Int) throws -> String {
    var globals = tokens.merging(variables) { $1 }
    for name in TemplateRun.functions { globals[name] = .function(name) }
    var run = TemplateRun(globals: globals, date: TemplateDate(seconds: time))
    try run.run(statements)
    return run.output
  }
}

extension ChatTemplate {
  /// The template that a model's files hold: a GGUF file's own, `chat_template.jinja`, or the `chat_template` of
  /// `tokenizer_config.json` (of several, the one called `default`); nil where there is none.
  package static func source(_ files: ModelFiles) throws -> String? {
    if let file = try files.gguf() { return try file.metadata.text("tokenizer.chat_template") }
    if let file = try files.file("chat_template.jinja") {
      guard let text = String(validating: file.copy(), as: UTF8.self) else {
        throw MeanderError(.badData, "the template is not UTF-8", at: file.path)
      }
      return text
    }
    guard let file = try files.file("tokenizer_config.json") else { return nil }
    let template = try JSON.parse(file)["chat_template"]
    return template?.string ?? template?.array?.first { $0["name"]?.string == "default" }?["template"]?.string
  }

  /// The template of a model, with its tokens.
  package init?(_ files: ModelFiles, _ tokenizer: Tokenizer) throws {
    guard let source = try Self.source(files) else { return nil }
    let end = tokenizer.endOfText.min()
    try self.init(
      source, beginOfText: tokenizer.beginOfText.flatMap { tokenizer.piece(of: $0) },
      endOfText: end.flatMap { tokenizer.piece(of: $0) })
  }
}
