import MeanderErrors
import MeanderModels
import MeanderText

/// One generated token.
public struct Token: Sendable, Equatable {
  /// A candidate and its log-probability.
  public typealias Choice = Sampled.Choice

  /// The token in its vocabulary.
  public let id: Int32
  /// The text that has become certain with this token: whole characters alone, so it may be empty, or end a
  /// character that began with an earlier token.
  public let text: String
  /// The natural logarithm of the token's probability under the model, before any sampling option.
  public let logProbability: Double
  /// The model's likeliest tokens at this place, likeliest first, as many as were asked for.
  public let top: [Choice]
}

/// The tokens that a session generates. None is computed before it is asked for; a beam search computes all of a text with its first.
///
/// A token that was yielded has moved the session's state; leaving the loop leaves the session there, and
/// another `generate` goes on from it. An end token ends the stream and is neither yielded nor read.
public struct TokenStream: AsyncSequence, Sendable {
  /// What the sequence gives.
  public typealias Element = Token

  let session: Session
  let options: GenerationOptions

  /// An iterator, which computes nothing until it is asked for a token.
  public func makeAsyncIterator() -> Iterator { Iterator(session: session, options: options) }

  /// Asks the session for one token after the other.
  public struct Iterator: AsyncIteratorProtocol {
    let session: Session
    let options: GenerationOptions
    private var count = 0
    private var isOver = false
    private var filter: StopFilter
    /// What a search has found and nobody has asked for yet, the next token last.
    private var found: [Drawn]?

    init(session: Session, options: GenerationOptions) {
      self.session = session
      self.options = options
      filter = StopFilter(options.stop)
    }

    /// Computes the next token; nil when the stream has ended. O(weights).
    ///
    /// Throws what `Session.feed` throws; `badRequest` where nothing was fed or an option is out of range.
    public mutating func next() async throws -> Token? {
      guard !isOver, count < options.maximumTokens ?? .max else { return nil }
      if count == 0 { try await session.begin(options) }
      if count == 0 { found = try await session.search(options)?.reversed() }
      let drawn: Drawn
      if found != nil {
        guard let next = found?.popLast() else { return nil }
        drawn = next
      } else {
        drawn = try await session.draw(options)
      }
      count += 1
      if drawn.isEnd {
        isOver = true
        let text = filter.finish()
        return text.isEmpty ? nil : drawn.token(text)
      }
      var text = filter.pass(drawn.text)
      if filter.isStopped {
        isOver = true
      } else if count == options.maximumTokens || found?.isEmpty == true {
        text += filter.finish()
      }
      return drawn.token(text)
    }
  }
}

/// How a generation runs.
struct GenerationOptions: Sendable {
  var sampling: SamplingOptions?
  var maximumTokens: Int?
  var stop: [String]
  var topCount: Int
}

/// A token as it was drawn, before stop strings were looked for.
struct Drawn: Sendable {
  let sampled: Sampled
  let text: String
  let isEnd: Bool

  func token(_ text: String) -> Token {
    Token(id: sampled.id, text: text, logProbability: sampled.logProbability, top: sampled.top)
  }
}

/// Holds text back while it may still turn out to be a stop string.
struct StopFilter: Sendable {
  private let stops: [[UInt8]]
  private var held: [UInt8] = []
  private(set) var isStopped = false

  init(_ stops: [String]) { self.stops = stops.map { Array($0.utf8) }.filter { !$0.isEmpty } }

  /// The text that is certain once `text` follows; what comes behind a stop string is dropped with it.
  mutating func pass(_ text: String) -> String {
    held += text.utf8
    if let start = firstStop() {
      isStopped = true
      defer { held = [] }
      return String(decoding: held[..<start], as: UTF8.self)
    }
    let keep = held.count - longestBeginning()
    defer { held.removeFirst(keep) }
    return String(decoding: held[..<keep], as: UTF8.self)
  }

  /// What was held back, when nothing more follows.
  mutating func finish() -> String {
    defer { held = [] }
    return String(decoding: held, as: UTF8.self)
  }

  private func firstStop() -> Int? {
    held.indices.first { start in stops.contains { held[start...].starts(with: $0) } }
  }

  /// How many of the last bytes may be the beginning of a stop string.
  private func longestBeginning() -> Int {
    let longest = stops.map { $0.count - 1 }.max() ?? 0
    return (0...min(longest, held.count)).reversed().first { count in
      count == 0 || stops.contains { $0.starts(with: held.suffix(count)) }
    } ?? 0
  }
}
