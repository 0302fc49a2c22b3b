import ArgumentParser
import Meander
import MeanderFiles

struct BenchCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "bench",
    abstract: "Measure tokens a second, in the columns of llama-bench.",
    usage: "meander bench [<options>]",
    discussion: Examples.discussion(
      "bench",
      """
      pp reads tokens and computes the logits of the last one; tg takes one token after the other and \
      computes the logits of each. The first repetition of each is a warm-up and not counted. Figures depend \
      on the machine and on what else it does: compare only what was measured in one run.
      """))

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions
  @OptionGroup var format: FormatOptions

  @Option(name: .long, help: "How many tokens pp reads; 0 leaves pp out.")
  var promptTokens = 512

  @Option(name: [.customShort("n"), .long], help: "How many tokens tg takes; 0 leaves tg out.")
  var maxTokens = 64

  @Option(name: .shortAndLong, help: "How many tokens the state has read before.")
  var depth = 0

  @Option(name: .shortAndLong, help: "How often each test is repeated after the warm-up.")
  var repetitions = 5

  func validate() throws {
    guard (0...1 << 24).contains(promptTokens), (0...1 << 24).contains(maxTokens), (0...1 << 30).contains(depth),
      (1...1000).contains(repetitions)
    else {
      throw ValidationError("Please give counts of tokens from 0, and 1 to 1000 repetitions.")
    }
  }

  func run() async throws {
    let model = try await model.load(mitigations)
    // Without a depth there is nothing to fork, and no second state to hold.
    var base: Session?
    if depth > 0 {
      let warmed = try Session(model)
      // In parts, so that what is to be read takes no memory that grows with it.
      for start in stride(from: 0, to: depth, by: 4096) {
        if Signals.interruptCount > 0 { throw Interrupted() }
        try await warmed.feed(ids: tokens(min(4096, depth - start), from: start, step: 7919, model))
      }
      base = warmed
    }
    var results: [BenchResult] = []
    if promptTokens > 0 {
      let prompt = tokens(promptTokens, step: 7919, model)
      results.append(
        try await measure("pp\(promptTokens)", promptTokens, model, base) { session in
          try await session.feed(ids: prompt)
          _ = try await session.logits()
        })
    }
    if maxTokens > 0 {
      let next = tokens(maxTokens, step: 104_729, model)
      results.append(
        try await measure("tg\(maxTokens)", maxTokens, model, base) { session in
          for id in next {
            try await session.feed(ids: [id])
            _ = try await session.logits()
          }
        })
    }
    try write(results, model)
  }

  /// Token i is i · step mod V, so that another engine can be given the same work.
  private func tokens(_ count: Int, from start: Int = 0, step: Int, _ model: Model) -> [Int32] {
    (start..<start + count).map { Int32($0 * step % model.vocabularyCount) }
  }

  private func measure(
    _ test: String, _ count: Int, _ model: Model, _ base: Session?, _ body: (Session) async throws -> Void
  ) async throws -> BenchResult {
    let clock = ContinuousClock()
    var speeds: [Double] = []
    for repetition in 0...repetitions {
      if Signals.interruptCount > 0 { throw Interrupted() }
      let session = try await base?.fork() ?? Session(model)
      let elapsed = try await clock.measure { try await body(session) }
      if repetition > 0 { speeds.append(Double(count) / elapsed.seconds) }
    }
    return BenchResult(test: test, depth: depth, speeds: speeds, residentBytes: ProcessMemory.resident, peakBytes: ProcessMemory.peak)
  }

  private func write(_ results: [BenchResult], _ model: Model) throws {
    let output = Output.standard()
    if format.json {
      try output.line(
        JSONText.array { list in
          for result in results { list.elementObject { result.write(to: &$0, model) } }
        })
    } else {
      Console.note("\(model.name), \(grouped(model.parameterCount)) parameters, \(model.compute.rawValue), "
        + "instructions \(model.engine.instructions)")
      try output.line("| test   | threads |  depth |       t/s ± dev |      RSS |")
      try output.line("| ------ | ------: | -----: | --------------: | -------: |")
      for result in results { try output.line(result.row(threads: model.engine.threads)) }
    }
    try output.flush()
  }
}

/// The speeds of one test's repetitions, in tokens a second.
struct BenchResult {
  let test: String
  let depth: Int
  let speeds: [Double]
  let residentBytes, peakBytes: Int

  var mean: Double { speeds.reduce(0, +) / Double(speeds.count) }

  /// The sample's standard deviation.
  var deviation: Double {
    guard speeds.count > 1 else { return 0 }
    let squares = speeds.reduce(0) { $0 + ($1 - mean) * ($1 - mean) }
    return (squares / Double(speeds.count - 1)).squareRoot()
  }

  private var median: Double {
    let sorted = speeds.sorted()
    return (sorted[(sorted.count - 1) / 2] + sorted[sorted.count / 2]) / 2
  }

  func row(threads: Int) -> String {
    let speed = "\(decimal(mean, places: 1)) ± \(decimal(deviation, places: 1))"
    let cells = [
      test.rightPadded(to: 6), "\(threads)".leftPadded(to: 7), "\(depth)".leftPadded(to: 6), speed.leftPadded(to: 15),
      size(residentBytes).leftPadded(to: 8),
    ]
    return "| " + cells.joined(separator: " | ") + " |"
  }

  func write(to row: inout JSONText, _ model: Model) {
    row.field("test", test)
    row.field("tokens_per_second", mean, places: 3)
    row.field("deviation", deviation, places: 3)
    row.field("median", median, places: 3)
    row.field("depth", depth)
    row.field("threads", model.engine.threads)
    row.field("rss_bytes", residentBytes)
    row.field("peak_rss_bytes", peakBytes)
    row.field("model", model.name)
    row.field("compute", model.compute.rawValue)
    row.field("instructions", model.engine.instructions)
    row.field("state", model.statePrecision.rawValue)
    row.array("mitigations") { list in model.mitigations.forEach { list.element(string: $0.description) } }
  }
}
