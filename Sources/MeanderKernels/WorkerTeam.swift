import CMeanderKernels
import Glibc
import Synchronization

/// A fixed team of threads of its own that computes by a deterministic split into contiguous parts.
///
/// The calling thread is worker 0. One thread dispatches at a time. Worker i takes the i-th part, which is still in its
/// cache; a part whose worker has not come (asleep, or its CPU busy with something else) is done by whoever is free, so
/// a crowded machine slows the team down by no more than it must. Idle workers spin for some microseconds, then sleep.
package final class WorkerTeam: Sendable {
  package let threads: Int
  /// More threads than this do not join in: a round's parts are bits of one word.
  private static let largest = 32
  private let shared: SharedWork
  private let others: [pthread_t]
  /// Memory of the dispatching thread, kept between calls and replaced by a larger one when it does not do.
  private let kept = Mutex<Storage>(Storage(byteCount: 0))
  /// Memory of calls that need room in passing; nil while one has it.
  private let room = Mutex<Storage?>(nil)

  /// A team of `threads` workers, the caller included; at least one, and 32 at most.
  package init(threads: Int) {
    precondition(threads >= 1, "a team of \(threads) threads")
    let threads = min(threads, WorkerTeam.largest)
    let shared = SharedWork()
    self.shared = shared
    others = (1..<threads).compactMap { index in
      var thread = pthread_t()
      // Safe: the box is retained here and released by the thread that takes it.
      let argument = Unmanaged.passRetained(Worker(index: index, shared: shared)).toOpaque()
      let status = pthread_create(&thread, nil, { argument in
        guard let argument else { return nil }
        Unmanaged<Worker>.fromOpaque(argument).takeRetainedValue().loop()
        return nil
      }, argument)
      precondition(status == 0, "a worker thread could not be started")
      return thread
    }
    self.threads = threads
  }

  deinit {
    shared.stop()
    for thread in others { pthread_join(thread, nil) }
  }

  /// Waits a moment, for what another worker is about to finish.
  package static func pause() { for _ in 0..<16 { meander_pause() } }

  /// Calls `body` once for each index below `count`, split over the team; returns when all are done.
  package func run(_ count: Int, _ body: @Sendable (Int) -> Void) {
    split(count) { part in for index in part { body(index) } }
  }

  /// An uninitialized matrix of the dispatching thread, valid until it asks for the next one.
  func scratch(rows: Int, columns: Int) -> Matrix {
    kept.withLock { kept in
      if kept.byteCount < rows * columns * 4 { kept = Storage(byteCount: rows * columns * 4) }
      return Matrix(kept, offset: 0, rows: rows, columns: columns)
    }
  }

  /// Calls `body` with an arena of at least `byteCount` bytes, the same memory each time: to clear pages of its own would cost a short
  /// call more than what it does with them.
  func withRoom(byteCount: Int, _ body: (Arena) -> Void) {
    let kept = room.withLock { room in
      defer { room = nil }
      return room
    }
    let storage = kept.flatMap { $0.byteCount < byteCount ? nil : $0 } ?? Storage(reserving: byteCount)
    body(Arena(storage))
    room.withLock { $0 = storage }
  }

  /// Calls `body` with each worker's contiguous part of `0..<count`, empty parts left out. Boundaries are multiples of
  /// `grain`; work too small for the team is given as `workers: 1`.
  func split(_ count: Int, grain: Int = 1, workers: Int = .max, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let grains = (count + grain - 1) / grain
    let workers = min(threads, workers, grains)
    if workers == 1 { return body(0..<count) }
    withoutActuallyEscaping(body) { body in
      shared.start(Job(count: count, grain: grain, grains: grains, workers: workers, body: body))
      shared.take(0)
      shared.finish()
    }
  }
}

/// One dispatched piece of work, in `workers` parts.
private struct Job {
  let count: Int
  let grain: Int
  let grains: Int
  let workers: Int
  let body: (Range<Int>) -> Void

  func run(_ part: Int) {
    let first = grains * part / workers * grain
    body(first..<min(count, grains * (part + 1) / workers * grain))
  }
}

/// What dispatcher and workers share: a round begins when `round` changes and ends when all its parts are done.
private final class SharedWork: @unchecked Sendable {
  // Safe as Sendable: `job` is written by the dispatcher between rounds and read by whoever claimed a part of the round
  // that `round` names; a round does not end before its claimed parts are done. `round` (releasing on start, acquiring
  // on claim) and `done` (releasing, acquiring) order the two. `isStopping` is written once, before the last round.
  private var job: Job?
  private var isStopping = false
  /// The round's number above 32 bits that stand for its parts; a set bit is a part that nobody has claimed.
  private let round = Atomic<UInt64>(0)
  private let done = Atomic<Int>(0)
  private let sleepers = Atomic<Int>(0)
  private let lock: UnsafeMutablePointer<pthread_mutex_t>
  private let wake: UnsafeMutablePointer<pthread_cond_t>
  /// About 30 microseconds of pauses.
  private static let patience = 1000

  init() {
    // Safe: allocated and initialized here, destroyed in deinit, at an address that never changes.
    lock = .allocate(capacity: 1)
    wake = .allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    pthread_cond_init(wake, nil)
  }

  deinit {
    pthread_mutex_destroy(lock)
    pthread_cond_destroy(wake)
    lock.deallocate()
    wake.deallocate()
  }

  func start(_ job: Job) {
    self.job = job
    done.store(0, ordering: .relaxed)
    advance(parts: (1 << UInt64(job.workers)) - 1)
  }

  /// Does what parts are left, then waits for those that others are at.
  func finish() {
    guard let job else { return }
    while let part = claimAny() { run(part) }
    var pauses = 0
    while done.load(ordering: .acquiring) < job.workers {
      meander_pause()
      pauses += 1
      if pauses > SharedWork.patience { sched_yield() }
    }
    self.job = nil
  }

  /// Does part `index` of the current round, unless somebody has claimed it.
  func take(_ index: Int) {
    if claim(1 << UInt64(index)) { run(index) }
  }

  private func run(_ part: Int) {
    job?.run(part)
    done.wrappingAdd(1, ordering: .releasing)
  }

  private func claim(_ bit: UInt64) -> Bool {
    var seen = round.load(ordering: .acquiring)
    while seen & bit != 0 {
      let (exchanged, now) = round.compareExchange(expected: seen, desired: seen & ~bit, ordering: .acquiringAndReleasing)
      if exchanged { return true }
      seen = now
    }
    return false
  }

  private func claimAny() -> Int? {
    while true {
      let parts = UInt32(truncatingIfNeeded: round.load(ordering: .acquiring))
      if parts == 0 { return nil }
      let part = parts.trailingZeroBitCount
      if claim(1 << UInt64(part)) { return part }
    }
  }

  func stop() {
    isStopping = true
    advance(parts: 0)
  }

  private func advance(parts: UInt64) {
    let number = (round.load(ordering: .relaxed) >> 32) &+ 1
    round.store(number << 32 | parts, ordering: .sequentiallyConsistent)
    // A worker counts itself as a sleeper before it looks at the round for the last time, so none is missed.
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(lock)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(lock)
    }
  }

  /// Waits for a round after `last` and returns its number; nil when the team stops.
  func next(after last: UInt64) -> UInt64? {
    var pauses = 0
    while number == last {
      meander_pause()
      pauses += 1
      if pauses > SharedWork.patience { sleep(after: last) }
    }
    return isStopping ? nil : number
  }

  private var number: UInt64 { round.load(ordering: .sequentiallyConsistent) >> 32 }

  private func sleep(after last: UInt64) {
    pthread_mutex_lock(lock)
    sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
    while number == last { pthread_cond_wait(wake, lock) }
    sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(lock)
  }
}

private final class Worker {
  let index: Int
  let shared: SharedWork

  init(index: Int, shared: SharedWork) {
    self.index = index
    self.shared = shared
  }

  func loop() {
    var round: UInt64 = 0
    while let next = shared.next(after: round) {
      round = next
      shared.take(index)
    }
  }
}
