import CMeanderKernels
import Glibc
import Synchronization

/// A fixed team of threads of its own that computes by a deterministic split: worker i takes the i-th contiguous part.
///
/// The calling thread is worker 0. One thread dispatches at a time. Idle workers spin for some microseconds, then sleep.
package final class WorkerTeam: Sendable {
  package let threads: Int
  private let shared: SharedWork
  private let others: [pthread_t]
  /// Memory of the dispatching thread, kept between calls and replaced by a larger one when it does not do.
  private let kept = Mutex<Storage>(Storage(byteCount: 0))

  /// A team of `threads` workers, the caller included; at least one.
  package init(threads: Int) {
    precondition(threads >= 1 && threads <= 1024, "a team of \(threads) threads")
    let shared = SharedWork()
    self.shared = shared
    others = (1..<max(threads, 1)).compactMap { index in
      var thread = pthread_t()
      // Safe: the box is retained here and released by the thread that takes it.
      let argument = Unmanaged.passRetained(Worker(index: index, threads: threads, shared: shared)).toOpaque()
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

  /// Calls `body` with each worker's contiguous part of `0..<count`, empty parts left out. Boundaries are multiples of
  /// `grain`; work too small for the team is given as `workers: 1`.
  func split(_ count: Int, grain: Int = 1, workers: Int = .max, _ body: (Range<Int>) -> Void) {
    guard count > 0 else { return }
    let grains = (count + grain - 1) / grain
    let workers = min(threads, workers, grains)
    if workers == 1 { return body(0..<count) }
    withoutActuallyEscaping(body) { body in
      shared.start(Job(count: count, grain: grain, grains: grains, workers: workers, body: body), others: others.count)
      body(Job.part(0, of: workers, count: count, grain: grain, grains: grains))
      shared.finish()
    }
  }
}

/// One dispatched piece of work.
private struct Job {
  let count: Int
  let grain: Int
  let grains: Int
  let workers: Int
  let body: (Range<Int>) -> Void

  static func part(_ index: Int, of workers: Int, count: Int, grain: Int, grains: Int) -> Range<Int> {
    let first = grains * index / workers * grain
    return first..<min(count, grains * (index + 1) / workers * grain)
  }

  func run(_ index: Int) {
    if index < workers { body(Job.part(index, of: workers, count: count, grain: grain, grains: grains)) }
  }
}

/// What dispatcher and workers share. A round begins when `round` grows and ends when `unfinished` is zero.
private final class SharedWork: @unchecked Sendable {
  // Safe as Sendable: `job` is written by the dispatcher only between rounds, when no worker reads it; `round`
  // (releasing) and `unfinished` (acquiring) order the two. `isStopping` is written once, before the last round.
  private var job: Job?
  private var isStopping = false
  private let round = Atomic<Int>(0)
  private let unfinished = Atomic<Int>(0)
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

  func start(_ job: Job, others: Int) {
    self.job = job
    unfinished.store(others, ordering: .relaxed)
    advance()
  }

  /// Waits for the other workers; they are running, so after some pauses it only offers its CPU.
  func finish() {
    var pauses = 0
    while unfinished.load(ordering: .acquiring) > 0 {
      meander_pause()
      pauses += 1
      if pauses > SharedWork.patience { sched_yield() }
    }
    job = nil
  }

  func stop() {
    isStopping = true
    advance()
  }

  private func advance() {
    round.wrappingAdd(1, ordering: .sequentiallyConsistent)
    // A worker counts itself as a sleeper before it looks at the round for the last time, so none is missed.
    if sleepers.load(ordering: .sequentiallyConsistent) > 0 {
      pthread_mutex_lock(lock)
      pthread_cond_broadcast(wake)
      pthread_mutex_unlock(lock)
    }
  }

  /// Waits for a round after `last`; nil when the team stops.
  func next(after last: Int) -> Int? {
    var pauses = 0
    while round.load(ordering: .acquiring) == last {
      meander_pause()
      pauses += 1
      if pauses > SharedWork.patience { sleep(after: last) }
    }
    return isStopping ? nil : round.load(ordering: .acquiring)
  }

  private func sleep(after last: Int) {
    pthread_mutex_lock(lock)
    sleepers.wrappingAdd(1, ordering: .sequentiallyConsistent)
    while round.load(ordering: .sequentiallyConsistent) == last { pthread_cond_wait(wake, lock) }
    sleepers.wrappingSubtract(1, ordering: .sequentiallyConsistent)
    pthread_mutex_unlock(lock)
  }

  func work(_ index: Int) {
    job?.run(index)
    unfinished.wrappingSubtract(1, ordering: .releasing)
  }
}

private final class Worker {
  let index: Int
  let threads: Int
  let shared: SharedWork

  init(index: Int, threads: Int, shared: SharedWork) {
    self.index = index
    self.threads = threads
    self.shared = shared
  }

  func loop() {
    var round = 0
    while let next = shared.next(after: round) {
      round = next
      shared.work(index)
    }
  }
}
