import MeanderErrors
import MeanderKernels
import MeanderModels
import MeanderText

/// A model and one recurrent state: what is fed moves the state forward, and `generate` continues from where
/// it stands.
///
/// The state has one fixed size however much is fed; positions count in 64 bits, and there is no context
/// limit. However the input is cut into calls, on any number of threads, and across a snapshot, the bits are
/// the same.
///
/// Calls from several tasks are served one after the other. Every call computes on the engine's threads and
/// throws `MeanderError`: `limit` where too many calls wait already, `cancelled` when its task was cancelled,
/// and `nonFinite` when a state stopped being finite; the session then refuses to go on until `restore(_:)`.
public actor Session {
  /// The weights that move the state; shared with other sessions.
  public nonisolated let model: Model

  /// Tokens a turn at most; turns end at multiples of it in the stream, where the gauge is read.
  static let chunk = LanguageModel.grid

  nonisolated let core: SessionCore
  private var isBusy = false
  private var waiting: [CheckedContinuation<Void, Never>] = []

  /// A session that has read nothing. O(state).
  ///
  /// - Parameter sampling: how `generate` draws unless it is told otherwise; by default as the model's files
  ///   say. Penalties see what is fed from the start only when they are given here.
  /// - Throws: `limit` where the state would pass the engine's memory limit; `badRequest` for options out of
  ///   range.
  public init(_ model: Model, sampling: SamplingOptions? = nil) throws {
    self.init(try SessionCore(model, sampling: sampling))
  }

  /// A session that has read nothing, whose state evolves under `mitigations` in place of the model's. O(state).
  ///
  /// - Throws: as `init(_:sampling:)` and `Model.mitigated(by:)`.
  public init(_ model: Model, mitigations: [Mitigation], sampling: SamplingOptions? = nil) throws {
    try self.init(model.mitigated(by: mitigations), sampling: sampling)
  }

  /// A session that continues where `snapshot` was taken. O(state).
  ///
  /// - Throws: `mismatch` for another model's snapshot, naming both fingerprints, and for one taken under other
  ///   mitigations than the model's, naming both; `badData` for one that does
  ///   not hold what it must; `limit` where the state would pass the engine's memory limit.
  public init(_ model: Model, from snapshot: Snapshot) throws {
    self.init(try SessionCore(model, from: snapshot))
  }

  init(_ core: SessionCore) {
    self.core = core
    model = core.model
  }

  /// How many tokens the state has taken in. Where a feed was cancelled, it has stopped there.
  public nonisolated var position: Int64 { core.progress.position }

  /// How many bytes of input were read, those included that the tokenizer still holds back because what
  /// follows decides their tokens.
  public nonisolated var bytesRead: Int64 { core.progress.bytesRead }
}

extension Session {
  /// Feeds the tokens that the model's tokenizer begins a text with (a begin-of-text), where it asks for any and nothing was
  /// read yet: a model that was taught so expects them. The commands begin every stream so.
  public func begin() async throws {
    let beginning = model.tokenizer.beginning
    guard position == 0, bytesRead == 0, !beginning.isEmpty else { return }
    try await feed(ids: beginning)
  }

  /// Feeds text. O(bytes).
  public func feed(_ text: String) async throws { try await feed(bytes: Array(text.utf8)) }

  /// Feeds bytes of UTF-8 text, which may end anywhere: in a word or in a character. O(bytes).
  ///
  /// A cancelled feed takes in nothing further, ends with the chunk that it is in and throws `cancelled`;
  /// `bytesRead` says where to go on.
  public func feed(bytes: [UInt8]) async throws {
    _ = try await run(FeedJob(bytes: bytes))
  }

  /// The same, and returns what was noticed of each token that was decided.
  func mark(bytes: [UInt8], surprise: Bool, watch: WriteWatch?) async throws -> [TokenMark] {
    try await run(FeedJob(bytes: bytes, isScored: surprise, marks: true, watch: watch)).marks
  }

  /// Feeds tokens, after the input so far was ended with `finishInput`. O(tokens).
  ///
  /// Throws `badRequest` for an id outside the vocabulary, before anything has moved.
  public func feed(ids: [Int32]) async throws {
    try check(ids)
    _ = try await run(FeedJob(ids: ids))
  }

  /// Feeds a stream of byte collections, pulling one after the other as each was read; nothing is gathered.
  ///
  /// A cancelled feed ends like `feed(bytes:)`; errors of the sequence itself are passed on. Other calls to
  /// this session are served between two pieces.
  public func feed<Pieces: AsyncSequence>(
    _ pieces: sending Pieces
  ) async throws where Pieces.Element: Collection<UInt8> & Sendable {
    var iterator = pieces.makeAsyncIterator()
    var isAdmitted = false
    while let piece = try await iterator.next(isolation: self) {
      _ = try await run(FeedJob(bytes: Array(piece)), isAdmitted: isAdmitted)
      isAdmitted = true
    }
    if Task.isCancelled { throw FeedJob.cancelled(at: bytesRead) }
  }

  /// Ends the input so far: what the tokenizer holds back is decided and fed. Whatever is fed next begins a
  /// text of its own.
  ///
  /// `generate` and `feed(ids:)` call it.
  public func finishInput() async throws {
    _ = try await run(FeedJob(bytes: [], isFinal: true))
  }

  /// Feeds bytes like `feed(bytes:)` and returns the score of every token that was decided.
  ///
  /// The bits of a token are its surprise given everything before it: -log2 of the probability that the model
  /// gave it. The first token of a stream is scored against a uniform distribution over the vocabulary,
  /// log2(V).
  ///
  /// - Parameter isFinal: whether the input ends here, as with `finishInput`, so that the last tokens are
  ///   scored too.
  public func score(bytes: [UInt8], isFinal: Bool = false) async throws -> [TokenScore] {
    try await run(FeedJob(bytes: bytes, isFinal: isFinal, isScored: true)).scores
  }

  /// The logits of the next token, V of them. Throws `badRequest` where nothing was fed.
  public func logits() async throws -> [Float] {
    let core = core
    return try await turn { _ in try core.logits() }
  }

  /// Feeds tokens and shows the logits after each of them: blocks of rows × V, row-major, on the engine's
  /// thread.
  package func feed(
    ids: [Int32], logits: @escaping @Sendable (_ rows: Int, _ values: [Float]) throws -> Void
  ) async throws {
    try check(ids)
    _ = try await run(FeedJob(ids: ids, onLogits: logits))
  }

  /// The state as other frameworks lay it out, for comparison: `layers.N.ssm` [H, P, N], `layers.N.conv` [C,
  /// K].
  package func referenceState() async throws -> [ReferenceTensor] {
    let core = core
    return try await turn { _ in core.referenceState() }
  }

  /// Names and shapes of what `referenceState` gives once so many more tokens were fed.
  package func referenceShapes(after count: Int) async throws -> [(name: String, shape: [Int])] {
    let core = core
    return try await turn { _ in core.referenceShapes(after: count) }
  }

  private func check(_ ids: [Int32]) throws {
    guard let index = ids.firstIndex(where: { $0 < 0 || Int($0) >= model.vocabularyCount }) else { return }
    throw MeanderError(
      .badRequest, "id \(ids[index]) is outside the vocabulary of \(model.vocabularyCount)", at: "token \(index)")
  }
}

extension Session {
  /// Everything of this session as a value: state, sampler, generator and tokenizer carry. O(state).
  public func snapshot() async throws -> Snapshot {
    let core = core
    return try await turn { _ in try core.snapshot() }
  }

  /// Goes back, or over, to where `snapshot` was taken. O(state). Where it throws, the session is left as it
  /// was.
  ///
  /// Throws as `init(_:from:)` does.
  public func restore(_ snapshot: Snapshot) async throws {
    let core = core
    try await turn { _ in try core.restore(snapshot) }
  }

  /// A second session that has read what this one has, and goes its own way from here. O(state), whatever was
  /// read.
  ///
  /// Throws `limit` where its state would pass the engine's memory limit.
  public func fork() async throws -> Session {
    let core = core
    return Session(try await turn { _ in try core.fork() })
  }

  /// What the mitigations in force have done to the state so far, a sentence each: which heads, and from where.
  /// O(heads).
  public func mitigationReport() async throws -> [String] {
    let core = core
    return try await turn { _ in core.mitigationReport() }
  }

  /// What the state looks like: per layer and head its norm, its peak and its retention. O(state).
  public func gauge() async throws -> Gauge {
    let core = core
    return try await turn { _ in core.gauge() }
  }
}

extension Session {
  /// Runs one job whole, a chunk a turn, while no other call of this session does.
  private func run(_ job: FeedJob, isAdmitted: Bool = false) async throws -> FeedJob.Result {
    let running = core.running(job)
    return try await turn(isAdmitted: isAdmitted, running)
  }

  /// Runs `body` on the engine's thread while no other call of this session does.
  func turn<Value: Sendable>(
    isAdmitted: Bool = false, _ body: @escaping @Sendable (_ isCancelled: Bool) throws -> Value?
  ) async throws -> Value {
    await enter()
    defer { leave() }
    return try await model.engine.perform(isAdmitted: isAdmitted, body)
  }

  private func enter() async {
    guard isBusy else {
      isBusy = true
      return
    }
    // Whoever leaves hands the session on without setting it free.
    await withCheckedContinuation { waiting.append($0) }
  }

  private func leave() {
    if waiting.isEmpty {
      isBusy = false
    } else {
      waiting.removeFirst().resume()
    }
  }
}

/// One token of scored input.
public struct TokenScore: Hashable, Sendable {
  /// The token.
  public let id: Int32
  /// Where the token ends in the input, in bytes from the start of the stream.
  public let end: Int64
  /// The token's surprise in bits, given everything before it.
  public let bits: Double
  /// What the gauge said once the token was read; it is asked at every 512th token of the stream.
  public let alarms: [Gauge.Alarm]
}
