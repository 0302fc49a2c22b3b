import MeanderErrors
import MeanderFiles
import MeanderModels
import MeanderText

/// A recurrent reader with a second model to call on: the reader takes in the whole stream in constant memory and says how sure it is;
/// where it is not, the right pieces of the input are found again and given to a model that reads them exactly.
///
///     let cascade = try Cascade(session, fallback: other, questions: ["Where is the harbor? In"], input: .file("log.txt"))
///     try await cascade.feed(bytes: log)
///     let answer = try await cascade.answer("Where is the harbor? In")
///
/// While it reads, segments are marked: those that hold words of the questions, that surprised the reader (where its surprise means
/// something), and that its state wrote down. Of these the fallback scores the most promising by how certain it is, behind each, of
/// what follows the question (XL3M, Wang and others 2024); the best are joined in the order of the text. Nothing of the input is kept
/// in memory.
public actor Cascade {
  /// The reader, which everything is fed to.
  public nonisolated let reader: Session
  /// The model that answers where the reader is uncertain.
  public nonisolated let fallback: Model
  /// How it looks again.
  public nonisolated let options: CascadeOptions

  private let questions: [String]
  private let past: PastInput
  private let watch: WriteWatch?
  private let seesSurprise: Bool
  /// Where the reader stood in its own stream when the cascade began.
  private let origin: Int64
  private var marker: SegmentMarker
  private var fed: Int64 = 0

  private static let kept = 256
  private static let usualTokens = 4096
  /// How many tokens' certainty a segment is scored by.
  private static let scoredTokens = 3

  /// - Parameters:
  ///   - reader: a session; what it read before cannot be looked at again.
  ///   - fallback: any model, recurrent or not.
  ///   - questions: those that are known before the input is read; others can be asked, but no words of theirs are looked for.
  ///   - input: where the input is found again; nil for a spool of 1 GiB.
  /// - Throws: `badRequest` for options out of range; `inputOutput` where no spool can be made.
  public init(
    _ reader: Session, fallback: Model, options: CascadeOptions = CascadeOptions(), questions: [String] = [],
    input: CascadeInput? = nil
  ) throws {
    try options.validate(for: fallback)
    (self.reader, self.fallback, self.options, self.questions) = (reader, fallback, options, questions)
    past = try (input ?? .spool()).past
    let marks = options.scoring == .candidates
    watch = marks ? WriteWatch(reader.model) : nil
    seesSurprise = marks && (reader.model.purposes.isEmpty || reader.model.purposes.contains("language"))
    origin = reader.bytesRead
    marker = SegmentMarker(size: options.segmentBytes, kept: Self.kept, questions: questions, from: 0)
  }

  /// How many bytes were fed.
  public var bytesRead: Int64 { fed }

  /// Feeds the reader, and marks what may be worth another look. Throws as `Session.feed(bytes:)`, and `inputOutput` where the spool
  /// cannot be written.
  public func feed(bytes: [UInt8]) async throws {
    try past.append(bytes, at: fed)
    fed += Int64(bytes.count)
    guard options.scoring == .candidates else { return try await reader.feed(bytes: bytes) }
    marker.read(bytes)
    let marks = try await reader.mark(bytes: bytes, surprise: seesSurprise, watch: watch)
    marker.note(
      marks.map { mark in
        var own = mark
        own.end -= origin
        return own
      })
  }

  /// Answers a question from a fork of the reader, and where that is uncertain by the fallback.
  ///
  /// - Parameters:
  ///   - sampling: how tokens are drawn; nil for each model's own way.
  ///   - maximumTokens: how many at most; nil for no bound.
  ///   - stop: texts that end an answer.
  public func answer(
    _ question: String, sampling: SamplingOptions? = nil, maximumTokens: Int? = 64, stop: [String] = ["\n"]
  ) async throws -> CascadeAnswer {
    let clock = ContinuousClock()
    let start = clock.now
    let fork = try await reader.fork()
    try await fork.feed(question)
    let own = try await Self.generate(fork, sampling, maximumTokens, stop)
    let confidence = options.rule.confidence(in: own.logProbabilities)
    var reason: CascadeAnswer.Reason?
    if let alarm = try await fork.gauge().alarms.first {
      reason = .alarm(alarm)
    } else if let confidence {
      if confidence < options.rule.threshold { reason = .uncertain }
    } else {
      reason = .silent
    }
    let asked = clock.now
    guard let reason else {
      return CascadeAnswer(
        text: own.text, tokens: own.logProbabilities.count, model: reader.model.name, reason: nil, confidence: confidence,
        looks: [], rereadBytes: 0, skipped: 0, lost: 0, seconds: ((asked - start).inSeconds, 0, 0), own: own)
    }
    var look = try SecondLook(
      fallback, options, question, held: tokens - (maximumTokens ?? 64), Self.scoredTokens, past: past, fed: fed)
    switch options.scoring {
    case .candidates:
      var marker = marker
      marker.finish()
      try await look.score(marker.candidates(question: questions.firstIndex(of: question)))
    case .all: try await look.scoreAll()
    case .last: try look.takeLast()
    }
    let scored = clock.now
    let second = try Session(fallback, sampling: sampling)
    try await second.feed(ids: try look.context())
    let other = try await Self.generate(second, nil, maximumTokens, stop)
    return CascadeAnswer(
      text: other.text, tokens: other.logProbabilities.count, model: fallback.name, reason: reason, confidence: confidence,
      looks: look.looks, rereadBytes: look.bytesRead, skipped: look.skipped, lost: look.lost,
      seconds: ((asked - start).inSeconds, (scored - asked).inSeconds, (clock.now - scored).inSeconds), own: own)
  }

  /// How many tokens the fallback reads at a time.
  public nonisolated var tokens: Int { options.tokens ?? fallback.contextTokens ?? Self.usualTokens }

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

extension Duration {
  fileprivate var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
