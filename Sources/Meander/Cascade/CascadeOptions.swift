import MeanderErrors
import MeanderFiles

/// How a cascade looks again.
public struct CascadeOptions: Sendable, Hashable {
  /// Which parts of the input the fallback is given.
  public enum Scoring: String, Sendable, Hashable, CaseIterable {
    /// Of the segments that were marked on the way, those after which it is most certain of what follows the question.
    case candidates
    /// The same of every segment of the input (XL3M), which is read twice for it.
    case all
    /// The last of the input, as much as it holds; nothing is scored.
    case last
  }

  /// When the fallback is asked.
  public var rule = DeferralRule()
  /// Which parts of the input it is given.
  public var scoring = Scoring.candidates
  /// How many tokens it reads at a time, the question and the answer included; nil for as many as its attention holds, and 4,096 where
  /// it has none.
  public var tokens: Int?
  /// Bytes of a segment, about: it ends at the first line break behind them.
  public var segmentBytes = 512
  /// The share of the input that may be read a second time, scoring included, where `rereadBytes` says nothing else; 2,048 bytes may be
  /// always.
  public var share = 0.05
  /// How many bytes may be read a second time for a question.
  public var rereadBytes: Int64?
  /// For how many seconds segments are scored for a question; nil for no bound.
  public var rereadSeconds: Double?

  /// A twentieth of the input, in segments of 512 bytes.
  public init() {}

  func validate(for fallback: Model) throws {
    try rule.validate()
    let held = fallback.contextTokens
    if let tokens, !(1...1 << 24).contains(tokens) || tokens > held ?? .max {
      throw MeanderError(
        .badRequest, "the fallback cannot read \(tokens) tokens", at: "cascade",
        remedy: held.map { "Give 1 to \($0), which is what \(fallback.name) holds." } ?? "Give 1 to \(1 << 24).")
    }
    guard (16...1 << 20).contains(segmentBytes), (0...1).contains(share), rereadBytes ?? 0 >= 0, rereadSeconds ?? 0 >= 0 else {
      throw MeanderError(
        .badRequest, "a cascade cannot look again so", at: "cascade",
        remedy: "Segments have 16 to \(1 << 20) bytes, a share lies from 0 to 1, and bounds are not negative.")
    }
  }

  /// Bytes that may be read again of so many.
  func budget(_ input: Int64) -> Int64 {
    if let rereadBytes { return rereadBytes }
    return scoring == .candidates ? max(2048, Int64(share * Double(input))) : .max
  }
}

/// Where a cascade finds its input again.
public struct CascadeInput: Sendable {
  let past: PastInput

  /// What is fed is kept on disk, the last `bytes` of it, in a file without a name that goes with the cascade. In `$TMPDIR`, else
  /// /var/tmp.
  public static func spool(bytes: Int64 = 1 << 30) throws -> CascadeInput { CascadeInput(past: .spool(try Spool(limit: bytes))) }

  /// What is fed is this file from its byte `start` on, and is read from it again.
  public static func file(_ path: String, from start: Int64 = 0) throws -> CascadeInput { try reader(InputReader(path), from: start) }

  /// The same for a file that is open.
  package static func reader(_ reader: InputReader, from start: Int64) throws -> CascadeInput {
    guard reader.isSeekable else {
      throw MeanderError(.badRequest, "the input cannot be read from the middle", at: reader.name, remedy: "Keep it in a spool.")
    }
    return CascadeInput(past: .file(reader, start))
  }
}

/// The input as it can be read again.
enum PastInput: Sendable {
  case spool(Spool)
  case file(InputReader, Int64)

  func append(_ bytes: [UInt8], at position: Int64) throws {
    if case .spool(let spool) = self { try spool.append(bytes, at: position) }
  }

  /// The bytes of a range; nil where they are kept no longer.
  func read(_ range: Range<Int64>, before position: Int64) throws -> [UInt8]? {
    switch self {
    case .spool(let spool): try spool.read(range, before: position)
    case .file(let reader, let start): try reader.bytes(start + range.lowerBound..<start + range.upperBound)
    }
  }

  /// The first byte that can be read again.
  func first(before position: Int64) -> Int64 {
    if case .spool(let spool) = self { max(0, position - spool.limit) } else { 0 }
  }
}

/// An answer, who gave it, and why.
public struct CascadeAnswer: Sendable, Hashable {
  /// Why the fallback was asked.
  public enum Reason: Sendable, Hashable {
    /// The reader's confidence lies below the rule's threshold.
    case uncertain
    /// The gauge raised an alarm.
    case alarm(Gauge.Alarm)
    /// The reader gave no token at all.
    case silent
  }

  /// A part of the input that was looked at again.
  public struct Look: Sendable, Hashable {
    /// Where it begins in what was fed, in bytes, and its length.
    public let offset: Int64
    /// How many bytes.
    public let count: Int
    /// How uncertain the fallback was, behind it, of what follows the question: the mean entropy of its next tokens, in nats. Nil where it
    /// was not scored.
    public let entropy: Double?
    /// Whether the answer was made with it.
    public let isUsed: Bool
  }

  /// The text of the answer.
  public let text: String
  /// How many tokens it has.
  public let tokens: Int
  /// The model that gave it.
  public let model: String
  /// Why the fallback gave it; nil where the reader did.
  public let reason: Reason?
  /// What the rule made of the reader's log-probabilities; nil where it gave no token.
  public let confidence: Double?
  /// The parts of the input that were read again, in the order of the text.
  public let looks: [Look]
  /// Bytes that were read again, those of scoring and of answering together.
  public let rereadBytes: Int64
  /// Candidates that were not looked at: for want of bytes or seconds, and because the spool no longer holds them.
  public let skipped: Int
  /// The same, of those that the spool has lost.
  public let lost: Int
  /// Seconds for the reader's answer, for scoring, and for the fallback's answer.
  public let seconds: (Double, Double, Double)
  /// The natural logarithms of the probabilities of the reader's own tokens, and its own text.
  public let own: (text: String, logProbabilities: [Double])

  /// Two answers are the same whatever time they took.
  public static func == (a: CascadeAnswer, b: CascadeAnswer) -> Bool {
    (a.text, a.tokens, a.model, a.reason) == (b.text, b.tokens, b.model, b.reason) && a.confidence == b.confidence
      && a.looks == b.looks && a.rereadBytes == b.rereadBytes && (a.skipped, a.lost) == (b.skipped, b.lost) && a.own == b.own
  }

  /// By the text alone.
  public func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
