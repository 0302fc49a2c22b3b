import Glibc
import MeanderErrors
import Synchronization
import SystemPackage

/// Signals, counted: the handlers add to a counter and wake a reader that waits, and do nothing else that
/// could go wrong inside a handler.
package enum Signals {
  private static let stops = Atomic<Int>(0)
  private static let reports = Atomic<Int>(0)
  private static let pipes = Atomic<Int>(0)
  private static let wakeRead = Atomic<CInt>(-1)
  private static let wakeWrite = Atomic<CInt>(-1)
  private static let endsOnSecond = Atomic<Bool>(false)

  /// How often SIGINT or SIGTERM came.
  package static var interruptCount: Int { stops.load(ordering: .relaxed) }
  /// How often SIGUSR1 came.
  package static var reportCount: Int { reports.load(ordering: .relaxed) }
  /// How often SIGPIPE came.
  package static var closedPipeCount: Int { pipes.load(ordering: .relaxed) }

  /// What a waiting reader polls beside its input; -1 before `install`, which poll(2) passes over.
  static var wakeDescriptor: CInt { wakeRead.load(ordering: .relaxed) }

  /// Installs the handlers of SIGINT, SIGTERM, SIGUSR1 and SIGPIPE, once. With `secondInterruptExits`, the
  /// second interrupt ends the process at once with status 130; files written by `AtomicFile` are whole even
  /// then.
  package static func install(secondInterruptExits: Bool = true) throws {
    endsOnSecond.store(secondInterruptExits, ordering: .relaxed)
    if wakeDescriptor >= 0 { return }
    keepStandardNumbers()
    var ends: [CInt] = [-1, -1]
    guard pipe(&ends) == 0 else {
      throw MeanderError(.inputOutput, "no pipe can be opened", cause: Errno(rawValue: errno))
    }
    for end in ends {
      _ = fcntl(end, F_SETFD, FD_CLOEXEC)
      _ = fcntl(end, F_SETFL, O_NONBLOCK)
    }
    wakeRead.store(ends[0], ordering: .relaxed)
    wakeWrite.store(ends[1], ordering: .relaxed)
    // Touched here, so that no handler is the first to touch them.
    _ = (interruptCount, reportCount, closedPipeCount)
    var handled = sigset_t()
    sigemptyset(&handled)
    for signal in [SIGINT, SIGTERM, SIGUSR1, SIGPIPE] {
      sigaddset(&handled, signal)
      var action = sigaction()
      action.__sigaction_handler.sa_handler = { Signals.handle($0) }
      // Calls elsewhere go on where they were; poll(2), on which readers wait, returns all the same.
      action.sa_flags = SA_RESTART
      guard sigaction(signal, &action, nil) == 0 else {
        throw MeanderError(.inputOutput, "signal \(signal) cannot be handled", cause: Errno(rawValue: errno))
      }
    }
    // A file that may grow no further is an error of write(2), like a full disk.
    signal(SIGXFSZ, SIG_IGN)
    // Whoever started this process may have left them blocked.
    pthread_sigmask(SIG_UNBLOCK, &handled, nil)
  }

  /// Whoever closed a standard stream before starting this process must not find a file of ours under its number: it
  /// is opened the wrong way round, so that reading and writing fail as they would have.
  private static func keepStandardNumbers() {
    for number in STDIN_FILENO...STDERR_FILENO where fcntl(number, F_GETFD) < 0 {
      _ = open("/dev/null", number == STDIN_FILENO ? O_WRONLY : O_RDONLY)
    }
  }

  private static func handle(_ signal: CInt) {
    let saved = errno
    switch signal {
    case SIGUSR1: reports.wrappingAdd(1, ordering: .relaxed)
    case SIGPIPE: pipes.wrappingAdd(1, ordering: .relaxed)
    default:
      let count = stops.wrappingAdd(1, ordering: .relaxed).newValue
      if count > 1, endsOnSecond.load(ordering: .relaxed) { _exit(130) }
    }
    var byte: UInt8 = 0
    // Safe: write(2) may be called from a handler; a full pipe wakes its reader as well.
    _ = write(wakeWrite.load(ordering: .relaxed), &byte, 1)
    errno = saved
  }

  /// Forgets the wake-ups so far; the counters stay.
  static func drain() {
    var bytes = [UInt8](repeating: 0, count: 64)
    while read(wakeDescriptor, &bytes, bytes.count) > 0 {}
  }
}
