import Meander
import MeanderFiles
import MeanderTasks

/// One run of `meander stream`: pieces of the input go through the session, lines come out, snapshots are
/// written.
final class StreamRun {
  private let options: StreamCommand
  private let session: Session
  private var pump: InputPump
  private var progress: Progress
  private var record: StreamRecord
  private var trail = InputTrail()
  private var emitter: LineEmitter
  private let clock = ContinuousClock()
  private var lastSnapshot: (offset: Int64, time: ContinuousClock.Instant)
  private let startOffset: Int64

  /// Opens everything and brings the input and the output to where the stream goes on.
  init(_ options: StreamCommand, _ model: Model) async throws {
    self.options = options
    pump = try .standard()
    let earlier = try Self.earlierSnapshot(options)
    if let earlier, let path = options.snapshot {
      record = try StreamRecord(earlier, path: path, top: options.top ?? 0)
      try Self.check(record, options)
      if let difference = earlier.difference(from: model) { Console.note("\(path): \(difference)") }
      session = try Session(model, from: earlier)
    } else {
      record = StreamRecord()
      record.strangest = StrangestLines(capacity: options.top ?? 0)
      if options.emit == .surprisal { record.scorer = LineScorer() }
      if options.mix == .ngram { record.mixture = StreamMixture() }
      session = try options.state.session(model)
      try await session.begin()
    }
    if earlier != nil {
      try StreamResumption(record: record, isHere: options.resumeHere).position(&pump, &trail)
      if options.resumeHere { record.inputStart = record.offset }
    }
    let isForTerminal = options.output == nil && !options.format.json && Terminal.isTerminal(.output)
    let written = record.written
    let output = try options.output.map { try Output.file($0, keeping: written) } ?? .standard()
    emitter = LineEmitter(
      output, isForTerminal: isForTerminal, withText: !options.noText, above: options.above, written: written)
    progress = Progress(total: pump.remaining)
    startOffset = record.offset
    lastSnapshot = (record.offset, clock.now)
  }

  private static func earlierSnapshot(_ options: StreamCommand) throws -> Snapshot? {
    guard let path = options.snapshot, FileStatus(path) != nil else { return nil }
    if options.resume || options.resumeHere { return try Snapshot(contentsOf: path) }
    Console.note("\(path) will be replaced; --resume would go on from it")
    return nil
  }

  private static func check(_ record: StreamRecord, _ options: StreamCommand) throws {
    let emitted: StreamCommand.Emission = record.scorer == nil ? .none : .surprisal
    guard emitted == options.emit else {
      throw MeanderError(
        .mismatch, "the snapshot was taken with --emit \(emitted), and this run has --emit \(options.emit)",
        at: options.snapshot, remedy: "Give --emit \(emitted), or start anew without --resume.")
    }
    let mixed: StreamCommand.Mixture = record.mixture == nil ? .none : .ngram
    guard mixed == options.mix else {
      throw MeanderError(
        .mismatch, "the snapshot was taken with --mix \(mixed), and this run has --mix \(options.mix)",
        at: options.snapshot, remedy: "Give --mix \(mixed), or start anew without --resume.")
    }
  }

  /// Reads to the end, or to the first interrupt.
  func run() async throws {
    let isInterrupted = try await read()
    progress.clear()
    try await writeSnapshot()
    try await options.state.write(session)
    if !isInterrupted { try await finish() }
    try printStrangest()
    try emitter.flush()
    progress.finish(bytes: record.offset - startOffset, tokens: session.position)
    try await reportMitigations()
    if isInterrupted { throw Interrupted() }
  }

  /// True where an interrupt came before the end.
  private func read() async throws -> Bool {
    let schedule = options.snapshotEvery ?? .standard
    while true {
      switch try pump.next(limit: schedule.bytesLeft(after: record.offset - lastSnapshot.offset)) {
      case .bytes(let piece): try await take(piece)
      case .pause: break
      case .report:
        try report()
        try await reportMitigations()
      case .end: return false
      case .interrupt: return true
      }
      let since = (clock.now - lastSnapshot.time).seconds
      if schedule.isDue(bytesSince: record.offset - lastSnapshot.offset, secondsSince: since) {
        try await writeSnapshot()
      }
      progress.update(bytes: record.offset - startOffset, tokens: session.position)
    }
  }

  private func take(_ piece: [UInt8]) async throws {
    trail.read(piece)
    record.offset += Int64(piece.count)
    guard record.scorer != nil else {
      try await session.feed(bytes: piece)
      return try checkMemory()
    }
    record.scorer?.read(piece)
    try await score(piece)
    try checkMemory()
  }

  /// Feeds `piece` and prints the lines that are decided with it.
  private func score(_ piece: [UInt8], isFinal: Bool = false) async throws {
    // The session counts from where it was loaded, the lines from where the stream began.
    let base = session.bytesRead + Int64(piece.count) - record.offset
    let tokens = try await session.score(bytes: piece, isFinal: isFinal)
    var decided = tokens.map { (end: $0.end - base, bits: $0.bits, alarm: $0.alarms.first?.text) }
    record.mixture?.mix(piece, &decided)
    var lines: [ScoredLine] = []
    record.scorer?.decide(decided) { lines.append($0) }
    for line in lines { try emit(line) }
    try emitter.flush()
  }

  private func emit(_ line: ScoredLine) throws {
    if emitter.passes(line) { record.strangest.add(line) }
    guard emitter.passes(line), options.top == nil || options.above != nil else { return }
    if progressSharesTerminal { progress.clear() }
    try emitter.write(line)
  }

  private var progressSharesTerminal: Bool { options.output == nil && Terminal.isTerminal(.output) }

  /// The lines that only the end of the input decides. They are not part of a snapshot: the input may grow.
  private func finish() async throws {
    guard record.scorer != nil else { return }
    try await score([], isFinal: true)
    if let line = record.scorer?.finish() { try emit(line) }
  }

  private func printStrangest() throws {
    for (index, line) in record.strangest.lines.enumerated() { try emitter.write(line, rank: index + 1) }
  }

  /// The strangest lines so far, or where the stream stands. What goes to a file must not depend on signals,
  /// so they are shown on standard error then.
  private func report() throws {
    progress.clear()
    if options.top == nil {
      Console.note(
        "\(grouped(record.offset)) bytes, \(grouped(session.position)) tokens, RSS \(size(ProcessMemory.resident))")
    }
    for (index, line) in record.strangest.lines.enumerated() {
      if options.output == nil {
        try emitter.write(line, rank: index + 1)
      } else {
        Console.write(String(decoding: emitter.format(line, rank: index + 1), as: UTF8.self) + "\n")
      }
    }
    try emitter.flush()
  }

  /// What mitigations did, on standard error; of many heads the first.
  private func reportMitigations() async throws {
    let lines = try await session.mitigationReport()
    let shown = 20
    for line in lines.prefix(shown) { Console.note(line) }
    if lines.count > shown { Console.note("and \(lines.count - shown) heads more") }
  }

  private func writeSnapshot() async throws {
    lastSnapshot = (record.offset, clock.now)
    guard let path = options.snapshot else { return }
    // What the snapshot says was written must be on the disk before it.
    if options.output != nil { try emitter.synchronize() } else { try emitter.flush() }
    record.written = emitter.written
    record.trail = trail.mark
    var snapshot = try await session.snapshot()
    record.write(to: &snapshot)
    try snapshot.write(to: path)
  }

  private func checkMemory() throws {
    guard let limit = options.maxRss, ProcessMemory.resident > limit << 20 else { return }
    throw MeanderError(
      .limit, "\(size(ProcessMemory.resident)) are resident, more than --max-rss \(limit) MiB allows",
      at: "byte \(record.offset)", remedy: "Allow more, or take a smaller model or --compute bf16.")
  }
}
