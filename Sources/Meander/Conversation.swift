import Glibc
import MeanderErrors
import MeanderText

/// A conversation with a model: what was said, the template that it was taught to see it by, and the session that has read it.
///
///     var conversation = try await Conversation(Session(model), system: "Be brief.")
///     try await conversation.say("Who are you?")
///     var answer = ""
///     for try await token in conversation.session.generate() { answer += token.text }
///     conversation.answer(answer)
///
/// What was read stays in the state: each turn feeds what it adds. Where a template writes the past another way once more is said,
/// the whole conversation is read again, from the state that it began with.
public struct Conversation: Sendable {
  /// Whose state holds the conversation.
  public let session: Session
  /// What was said, the newest last.
  public private(set) var messages: [ChatTemplate.Message] = []
  private let template: ChatTemplate
  private let start: Snapshot
  /// The text that the state has taken in since `start`.
  private var read = ""

  /// A conversation that begins where `session` stands. O(state).
  ///
  /// - Parameters:
  ///   - session: what will read it.
  ///   - template: how it is written; nil takes the model's own.
  ///   - system: what the model is told before all.
  /// - Throws: as `Model.chatTemplate()`.
  public init(_ session: Session, template: ChatTemplate? = nil, system: String? = nil) async throws {
    self.session = session
    self.template = try template ?? session.model.chatTemplate()
    start = try await session.snapshot()
    if let system { messages.append(.init(role: "system", content: system)) }
  }

  /// Feeds what the user says, up to where the answer begins. O(what is new).
  ///
  /// - Throws: as `ChatTemplate.render` and `Session.feed(_:)`; what was said before stands then.
  public mutating func say(_ text: String) async throws {
    let all = messages + [.init(role: "user", content: text)]
    let rendered = try template.render(all, time: Self.time)
    let isContinued = rendered.utf8.starts(with: read.utf8)
    if !isContinued { try await session.restore(start) }
    let rest = isContinued ? Array(rendered.utf8.dropFirst(read.utf8.count)) : Array(rendered.utf8)
    try await session.feed(bytes: rest)
    (messages, read) = (all, rendered)
  }

  /// Notes what the model answered, as `generate` gave it.
  public mutating func answer(_ text: String) {
    messages.append(.init(role: "assistant", content: text))
    read += text
  }

  /// Seconds since the beginning of 1970 on the clock on the wall.
  private static var time: Int {
    var now = Glibc.time(nil)
    var local = tm()
    localtime_r(&now, &local)
    return now + local.tm_gmtoff
  }
}

extension Model {
  /// How the model was taught to see a conversation, as its files say.
  ///
  /// - Throws: `notFound` where they hold no chat template; `badData` and `unsupported` as `ChatTemplate.init`.
  public func chatTemplate() throws -> ChatTemplate {
    guard let template = try chat.get() else {
      throw MeanderError(
        .notFound, "the model's files hold no chat template", at: name,
        remedy: "Take a model that was taught to converse, or give a template of your own.")
    }
    return template
  }
}
