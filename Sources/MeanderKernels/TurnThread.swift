import Glibc
import MeanderErrors

/// One thread of its own on which jobs take turns, first come first served.
///
/// A job is a closure that does one turn of its work and says whether there is more; if so, it goes to the end of the
/// queue. So two long jobs alternate, and a lone one runs through without a switch of threads between its turns.
package final class TurnThread: Sendable {
  private let queue: TurnQueue
  private let thread: pthread_t

  /// Throws `limit` where the system grants no further thread.
  package init() throws(MeanderError) {
    let queue = TurnQueue()
    // Safe: the thread takes over this reference, and releases it when it ends.
    let reference = Unmanaged.passRetained(queue)
    var thread = pthread_t()
    let status = pthread_create(
      &thread, nil,
      { context in
        // Safe: the context is the reference that was retained for this thread.
        if let context { Unmanaged<TurnQueue>.fromOpaque(context).takeRetainedValue().run() }
        return nil
      }, reference.toOpaque())
    guard status == 0 else {
      reference.release()
      throw MeanderError(
        .limit, "the system refused a thread (error \(status))", remedy: "Raise the limit on processes and threads.")
    }
    self.queue = queue
    self.thread = thread
  }

  /// Puts a job at the end of the queue. `turn` runs on the thread and returns true when the job is done.
  package func add(_ turn: @escaping @Sendable () -> Bool) { queue.add(Job(turn: turn)) }

  deinit {
    queue.stop()
    // The last reference to an engine may well fall in a job, and a thread cannot wait for itself.
    if pthread_equal(thread, pthread_self()) != 0 {
      pthread_detach(thread)
    } else {
      pthread_join(thread, nil)
    }
  }
}

/// A closure that is handed from turn to turn: bare, each passage through the queue would wrap it once more.
private struct Job: Sendable {
  let turn: @Sendable () -> Bool
}

private final class TurnQueue: @unchecked Sendable {
  // Safe as Sendable: `jobs` and `isStopping` are read and written under `mutex` alone.
  private let mutex = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
  private let condition = UnsafeMutablePointer<pthread_cond_t>.allocate(capacity: 1)
  private var jobs: [Job] = []
  private var isStopping = false

  init() {
    // Safe: both were just allocated, stay where they are, and are destroyed once, in `deinit`.
    pthread_mutex_init(mutex, nil)
    pthread_cond_init(condition, nil)
  }

  deinit {
    pthread_cond_destroy(condition)
    pthread_mutex_destroy(mutex)
    condition.deallocate()
    mutex.deallocate()
  }

  func add(_ job: Job) {
    pthread_mutex_lock(mutex)
    jobs.append(job)
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }

  func stop() {
    pthread_mutex_lock(mutex)
    isStopping = true
    pthread_cond_signal(condition)
    pthread_mutex_unlock(mutex)
  }

  /// The body of the thread: runs turns until it is stopped and nothing is left to do.
  func run() {
    blockSignals()
    while let job = next() {
      if !job.turn() { add(job) }
    }
  }

  private func next() -> Job? {
    pthread_mutex_lock(mutex)
    defer { pthread_mutex_unlock(mutex) }
    while jobs.isEmpty {
      if isStopping { return nil }
      pthread_cond_wait(condition, mutex)
    }
    return jobs.removeFirst()
  }

  /// Leaves signals to the program's own threads, whose reads they are to interrupt.
  private func blockSignals() {
    var signals = sigset_t()
    sigemptyset(&signals)
    for signal in [SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2] { sigaddset(&signals, signal) }
    pthread_sigmask(SIG_BLOCK, &signals, nil)
  }
}
