import Logging
import MeanderErrors
import MeanderFiles
import MeanderKernels
import Synchronization

/// Where models compute: a fixed team of worker threads, one queue, and the bounds on memory and waiting
/// work.
///
/// Nothing computes on Swift's cooperative pool. Sessions take turns by chunks of at most 512 tokens, first
/// come first served, on one dispatching thread that the team's workers help. One engine serves any number of
/// models and sessions; a program seldom needs a second.
public final class Engine: Sendable {
  /// How many threads compute, the dispatching one included.
  public let threads: Int
  /// The instruction table in use: `avx2`, say. In fp32 results are the same bits under all of them.
  public let instructions: String
  /// The bound on weights, working memory and states together, in bytes; nil where there is none.
  public let memoryLimit: Int?
  /// How many calls may wait for their turn before further ones are refused.
  public let maximumWaiting: Int

  package let table: KernelTable
  package let team: WorkerTeam
  package let logger: Logger
  private let thread: TurnThread
  private let ledger = Mutex(Ledger())

  private struct Ledger {
    var reserved = 0
    var calls = 0
  }

  /// - Parameters:
  ///   - threads: how many threads compute. By default as many as this process may run on: its CPU affinity,
  ///     capped by the quota of its control group.
  ///   - memoryLimit: bytes that weights, working memory and states together may take.
  ///   - maximumWaiting: how many calls may wait for their turn while another computes.
  ///   - instructions: an instruction table by name; by default `$MEANDER_INSTRUCTIONS`, else the widest of
  ///     this CPU.
  ///   - logger: where warnings go; silent by default.
  /// - Throws: `badRequest` for counts below what makes sense or a table that this CPU cannot run; `limit`
  ///   where the system grants no thread.
  public init(
    threads: Int? = nil, memoryLimit: Int? = nil, maximumWaiting: Int = 64, instructions: String? = nil,
    logger: Logger = Logger(label: "meander") { _ in SwiftLogNoOpLogHandler() }
  ) throws {
    let threads = threads ?? Processors.available
    guard (1...1024).contains(threads) else {
      throw MeanderError(.badRequest, "\(threads) threads cannot compute", at: "threads", remedy: "Give 1 to 1024.")
    }
    guard maximumWaiting >= 0, memoryLimit ?? 0 >= 0 else {
      throw MeanderError(.badRequest, "a bound cannot be negative", at: "memoryLimit, maximumWaiting")
    }
    table = try instructions.map { try KernelTable.named($0) } ?? KernelTable.fromEnvironment()
    team = WorkerTeam(threads: threads)
    thread = try TurnThread()
    self.threads = threads
    self.instructions = table.name
    self.memoryLimit = memoryLimit
    self.maximumWaiting = maximumWaiting
    self.logger = logger
  }

  /// Bytes of weights, working memory and states that are held at this moment.
  public var memoryReserved: Int { ledger.withLock { $0.reserved } }
}

extension Engine {
  /// Bytes that may still be reserved; nil where there is no bound.
  var memoryLeft: Int? { memoryLimit.map { limit in ledger.withLock { max(0, limit - $0.reserved) } } }

  /// Counts `bytes` against the memory limit before they are allocated; they are given back with the result.
  func reserve(_ bytes: Int, for what: String) throws -> MemoryReservation {
    try ledger.withLock { ledger in
      let (total, overflow) = ledger.reserved.addingReportingOverflow(bytes)
      guard !overflow, total <= memoryLimit ?? .max else {
        throw MeanderError(
          .limit, "\(bytes) bytes for \(what) would pass the memory limit of \(memoryLimit ?? .max) bytes",
          at: "\(ledger.reserved) bytes are in use",
          remedy: "Release sessions or models, or give the engine a higher memoryLimit.")
      }
      ledger.reserved = total
    }
    return MemoryReservation(engine: self, bytes: bytes)
  }

  fileprivate func giveBack(_ bytes: Int) { ledger.withLock { $0.reserved -= bytes } }

  /// Runs `turn` on the dispatching thread, again and again until it returns a value, in turn with all other
  /// jobs.
  ///
  /// `turn` is told whether the calling task was cancelled; it decides what that means.
  ///
  /// - Parameter isAdmitted: whether the caller already holds a place, as a feed between its pieces does.
  /// - Throws: `limit` where too many calls wait already, else what `turn` throws.
  func perform<Value: Sendable>(
    isAdmitted: Bool = false, _ turn: @escaping @Sendable (_ isCancelled: Bool) throws -> Value?
  ) async throws -> Value {
    try ledger.withLock { ledger in
      guard isAdmitted || ledger.calls <= maximumWaiting else {
        throw MeanderError(
          .limit, "\(ledger.calls) calls are computing or waiting already", at: "the engine's queue",
          remedy: "Try again later, or give the engine a higher maximumWaiting.")
      }
      ledger.calls += 1
    }
    defer { ledger.withLock { $0.calls -= 1 } }
    let isCancelled = Flag()
    return try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Value, any Error>) in
        thread.add {
          do {
            guard let value = try turn(isCancelled.isSet) else { return false }
            continuation.resume(returning: value)
          } catch {
            continuation.resume(throwing: error)
          }
          return true
        }
      }
    } onCancel: {
      isCancelled.set()
    }
  }
}

/// Bytes counted against an engine's memory limit until this is released.
final class MemoryReservation: Sendable {
  private let engine: Engine
  private let bytes: Int

  fileprivate init(engine: Engine, bytes: Int) {
    self.engine = engine
    self.bytes = bytes
  }

  deinit { engine.giveBack(bytes) }
}

/// A mark that one thread sets and another reads.
private final class Flag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}
