import MeanderErrors
import MeanderKernels
import MeanderModels
import MeanderText
import Synchronization

/// What of a session its jobs work on. The session lets in one job at a time.
final class SessionCore: Sendable {
  struct Progress: Sendable {
    var position: Int64
    var bytesRead: Int64
  }

  let model: Model
  private let contents: Mutex<SessionContents>
  private let published: Mutex<Progress>
  private let reservation: MemoryReservation

  convenience init(_ model: Model, sampling: SamplingOptions?) throws {
    let sampler = try Sampler(sampling ?? model.generationDefaults)
    let reservation = try SessionCore.reserve(model)
    let contents = SessionContents(
      state: model.language.makeState(), encoder: model.tokenizer.makeEncoder(), decoder: model.tokenizer.makeDecoder(),
      sampler: sampler)
    self.init(model, contents, reservation)
  }

  convenience init(_ model: Model, from snapshot: Snapshot) throws {
    try snapshot.check(against: model)
    let reservation = try SessionCore.reserve(model)
    self.init(model, try SessionContents(snapshot, model), reservation)
  }

  private init(_ model: Model, _ contents: SessionContents, _ reservation: MemoryReservation) {
    self.model = model
    published = Mutex(contents.progress)
    self.contents = Mutex(contents)
    self.reservation = reservation
  }

  /// Memory for so many states beside the session's own.
  func reserve(_ count: Int) throws -> MemoryReservation {
    try model.engine.reserve(count * model.stateByteCount, for: "\(count) states of a search")
  }

  private static func reserve(_ model: Model) throws -> MemoryReservation {
    try model.engine.reserve(model.stateByteCount, for: "the state of a session")
  }

  /// Where the session stands; can be read while a job is running.
  var progress: Progress { published.withLock { $0 } }

  /// A search from here, one step a turn; where it is done, the session stands behind the text that it found.
  func searching(_ job: SearchJob) -> @Sendable (_ isCancelled: Bool) throws -> [Drawn]? {
    let job = Shared(job)
    return { [self] isCancelled in
      try changing { contents in
        try job.value.withLock { job in
          guard try job.turn(&contents, model, isCancelled: isCancelled) else { return nil }
          return job.found
        }
      }
    }
  }

  /// The turns of `job`, one a call; its result when it is done.
  func running(_ job: FeedJob) -> @Sendable (_ isCancelled: Bool) throws -> FeedJob.Result? {
    let job = Shared(job)
    return { [self] isCancelled in
      try changing { contents in
        try job.value.withLock { job in
          try job.turn(&contents, model, isCancelled: isCancelled) ? job.result : nil
        }
      }
    }
  }

  /// Works on the contents and publishes where they then stand.
  func changing<Value: Sendable>(_ body: (inout SessionContents) throws -> Value) throws -> Value {
    try contents.withLock { contents in
      defer { published.withLock { $0 = contents.progress } }
      return try body(&contents)
    }
  }

  func logits() throws -> [Float] {
    try changing { try $0.logits(model) }
  }

  func referenceState() -> [ReferenceTensor] {
    contents.withLock { model.language.referenceState($0.state) }
  }

  func referenceShapes(after count: Int) -> [(name: String, shape: [Int])] {
    contents.withLock { contents in
      let state = contents.state.copy()
      state.setPosition(state.position + Int64(count))
      return model.language.referenceState(state).map { ($0.name, $0.shape) }
    }
  }

  func gauge() -> Gauge {
    contents.withLock { Gauge(model.language.gauge(of: $0.state, kernels: model.kernels), position: $0.state.position) }
  }

  func mitigationReport() -> [String] { contents.withLock { model.language.plan.report($0.state) } }

  func snapshot() throws -> Snapshot {
    try contents.withLock { contents in
      if let failure = contents.failure { throw failure }
      return Snapshot(contents, model)
    }
  }

  func restore(_ snapshot: Snapshot) throws {
    try snapshot.check(against: model)
    let transient = try SessionCore.reserve(model)
    let fresh = try SessionContents(snapshot, model)
    try changing { $0 = fresh }
    withExtendedLifetime(transient) {}
  }

  func fork() throws -> SessionCore {
    let reservation = try SessionCore.reserve(model)
    var copy = try contents.withLock { contents in
      if let failure = contents.failure { throw failure }
      return contents
    }
    copy.state = copy.state.copy()
    return SessionCore(model, copy, reservation)
  }
}

/// Everything that the past left behind in a session.
struct SessionContents: Sendable {
  var state: ModelState
  var encoder: TokenEncoder
  /// Of the text being generated; starts anew when input is read.
  var decoder: TokenDecoder
  var sampler: Sampler
  /// Why the state cannot be used any more.
  var failure: MeanderError?

  var bytesRead: Int64 { encoder.consumed }
  var progress: SessionCore.Progress { .init(position: state.position, bytesRead: bytesRead) }

  mutating func advance(
    by ids: [Int32], _ model: Model, observer: (any StepObserver)? = nil, readout: Readout = .none
  ) throws {
    do {
      try model.language.advance(
        state, by: ids[...], kernels: model.kernels, workspace: model.workspace, observer: observer, readout: readout)
    } catch let error as MeanderError {
      failure = error
      throw error
    }
  }

  mutating func logits(_ model: Model) throws -> [Float] {
    if let failure { throw failure }
    return try model.language.logits(after: state, kernels: model.kernels, workspace: model.workspace)
  }

  /// Moves forward by `ids` and returns the surprise of each in bits.
  mutating func score(_ ids: [Int32], _ model: Model, observer: (any StepObserver)? = nil) throws -> [Double] {
    let perNat = 1.4426950408889634
    let kernels = model.kernels
    let start = state.position
    // Before the first token nothing is known: equal logits stand for the uniform distribution.
    let before = start == 0 ? [Float](repeating: 0, count: model.vocabularyCount) : try logits(model)
    let row = Matrix(before, rows: 1, columns: model.vocabularyCount)
    var bits = kernels.surprisals(row, targets: ids.prefix(1)).map { Double($0) * perNat }
    try advance(by: ids, model, observer: observer, readout: .each { first, logits in
      let targets = ids[(first + 1)...].prefix(logits.rows)
      let rows = logits.rows(0..<targets.count)
      bits += kernels.surprisals(rows, targets: targets).map { Double($0) * perNat }
    })
    if let index = bits.firstIndex(where: { !$0.isFinite }) {
      let error = MeanderError(.nonFinite, "the logits are not finite", at: "token \(start + Int64(index))")
      failure = error
      throw error
    }
    return bits
  }
}

/// A value that the turns of one job hand on to each other.
private final class Shared<Value: Sendable>: Sendable {
  let value: Mutex<Value>
  init(_ value: Value) { self.value = Mutex(value) }
}
