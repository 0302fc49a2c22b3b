import MeanderErrors
import MeanderModels
import MeanderText

/// When a reader's answer is uncertain enough to ask another model.
///
/// A quantile of the log-probabilities of the answer's tokens tells (Chow-Quantile; Gupta and others 2024): unlike their sum it
/// does not punish length, and unlike their mean it is not drowned by what was easy. The gauge's alarm counts as well: a
/// collapsing state is sure of itself.
public struct FallbackRule: Sendable, Hashable {
  /// Which quantile of an answer's log-probabilities is looked at: 0 is the least certain token, 0.5 the median.
  public var quantile: Double
  /// The answer is uncertain where the quantile lies below this, in nats.
  public var threshold: Double
  /// How many of the last tokens the fallback reads; nil for as many as its attention holds, and 4,096 where it has none.
  public var tokens: Int?

  /// - Throws: nothing; values out of range are refused by `FallbackReader`.
  public init(quantile: Double = 0.1, threshold: Double = -1, tokens: Int? = nil) {
    (self.quantile, self.threshold, self.tokens) = (quantile, threshold, tokens)
  }

  /// The quantile of `values`, between the two nearest of them; nil of none.
  public func value(of values: [Double]) -> Double? {
    guard !values.isEmpty else { return nil }
    let sorted = values.sorted()
    let place = quantile * Double(sorted.count - 1)
    let low = Int(place.rounded(.down))
    let high = min(low + 1, sorted.count - 1)
    return sorted[low] + (sorted[high] - sorted[low]) * (place - Double(low))
  }
}

/// An answer, who gave it, and why.
public struct FallbackAnswer: Sendable, Hashable {
  /// Why the fallback was asked.
  public enum Reason: Sendable, Hashable {
    /// The quantile of the reader's log-probabilities lies below the threshold.
    case uncertain
    /// The gauge raised an alarm.
    case alarm(Gauge.Alarm)
    /// The reader gave no token at all.
    case silent
  }

  /// The text of the answer.
  public let text: String
  /// How many tokens it has.
  public let tokens: Int
  /// The model that gave it.
  public let model: String
  /// Why the fallback gave it; nil where the reader did.
  public let reason: Reason?
  /// The quantile of the reader's own log-probabilities, in nats; nil where it gave no token.
  public let confidence: Double?
}

/// A recurrent reader with a second model to call on: the reader's state remembers the whole stream a little, the fallback is given
/// the last of it word for word.
///
/// What the fallback would read is kept in memory of one size: token ids where both models share a tokenizer, text elsewhere, eight bytes
/// for each token that it may read.
public actor FallbackReader {
  /// The reader, which everything is fed to.
  public nonisolated let reader: Session
  /// The model that answers where the reader is uncertain.
  public nonisolated let fallback: Model
  /// When it does.
  public nonisolated let rule: FallbackRule
  /// How many of the last tokens it reads.
  public nonisolated let tokens: Int

  private var text: TextRing
  private var ids: [Int32] = []
  private let sharesTokenizer: Bool
  private static let bytesPerToken = 8
  private static let usualTokens = 4096

  /// - Parameters:
  ///   - reader: a session; what it read before is its alone.
  ///   - fallback: any model, recurrent or not.
  /// - Throws: `badRequest` for a rule out of range.
  public init(_ reader: Session, fallback: Model, rule: FallbackRule = FallbackRule()) throws {
    guard (0...1).contains(rule.quantile), !rule.threshold.isNaN else {
      throw MeanderError(.badRequest, "a quantile lies from 0 to 1, and \(rule.quantile) does not", at: "the fallback's rule")
    }
    let held = fallback.contextTokens
    let tokens = rule.tokens ?? held ?? Self.usualTokens
    guard (1...1 << 24).contains(tokens), tokens <= held ?? .max else {
      throw MeanderError(
        .badRequest, "the fallback cannot read \(tokens) tokens", at: "the fallback's rule",
        remedy: held.map { "Give 1 to \($0), which is what \(fallback.name) holds." } ?? "Give 1 to \(1 << 24).")
    }
    (self.reader, self.fallback, self.rule, self.tokens) = (reader, fallback, rule, tokens)
    text = TextRing(capacity: Self.bytesPerToken * tokens)
    sharesTokenizer = fallback.tokenizer.isSame(as: reader.model.tokenizer)
  }

  /// Feeds the reader, and keeps the last of it for the fallback. Throws as `Session.feed(bytes:)`.
  public func feed(bytes: [UInt8]) async throws {
    if sharesTokenizer {
      try keep(await reader.feedTellingIds(bytes: bytes))
    } else {
      try await reader.feed(bytes: bytes)
      text.append(bytes)
    }
  }

  private func keep(_ more: [Int32]) {
    ids += more
    if ids.count > 2 * tokens { ids.removeFirst(ids.count - tokens) }
  }

  /// Answers a question from a fork of the reader, and where that is uncertain from the last tokens by the fallback.
  ///
  /// - Parameters:
  ///   - sampling: how tokens are drawn; nil for each model's own way.
  ///   - maximumTokens: how many at most; nil for no bound.
  ///   - stop: texts that end an answer.
  public func answer(
    _ question: String, sampling: SamplingOptions? = nil, maximumTokens: Int? = 64, stop: [String] = ["\n"]
  ) async throws -> FallbackAnswer {
    let fork = try await reader.fork()
    // What the tokenizer held back is among these, as the reader saw it.
    let asked = try await fork.feedTellingIds(bytes: Array(question.utf8), isFinal: true)
    let own = try await Self.generate(fork, sampling, maximumTokens, stop)
    let confidence = rule.value(of: own.logProbabilities)
    var reason: FallbackAnswer.Reason?
    if let alarm = try await fork.gauge().alarms.first {
      reason = .alarm(alarm)
    } else if let confidence {
      if confidence < rule.threshold { reason = .uncertain }
    } else {
      reason = .silent
    }
    guard let reason else {
      return FallbackAnswer(
        text: own.text, tokens: own.logProbabilities.count, model: reader.model.name, reason: nil, confidence: confidence)
    }
    let second = try Session(fallback, sampling: sampling)
    try await second.feed(ids: context(with: question, asked))
    let other = try await Self.generate(second, nil, maximumTokens, stop)
    return FallbackAnswer(
      text: other.text, tokens: other.logProbabilities.count, model: fallback.name, reason: reason, confidence: confidence)
  }

  /// The last tokens of the stream and of the question behind it, as many as the fallback may read.
  package func context(with question: String, _ asked: [Int32]) -> [Int32] {
    let all = sharesTokenizer ? ids + asked : fallback.tokenizer.encode(text.text + Array(question.utf8))
    // A model that was taught to begin with a token of its own begins so here, too.
    let beginning = fallback.tokenizer.beginning.prefix(tokens - 1)
    return beginning + all.suffix(tokens - beginning.count)
  }

  private static func generate(
    _ session: Session, _ sampling: SamplingOptions?, _ maximumTokens: Int?, _ stop: [String]
  ) async throws -> (text: String, logProbabilities: [Double]) {
    var (text, logProbabilities) = ("", [Double]())
    for try await token in session.generate(sampling, maximumTokens: maximumTokens, stop: stop) {
      try Task.checkCancellation()
      text += token.text
      logProbabilities.append(token.logProbability)
    }
    return (text, logProbabilities)
  }
}
