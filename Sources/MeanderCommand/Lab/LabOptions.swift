import ArgumentParser
import Meander
import MeanderErrors
import MeanderEvaluation
import MeanderFiles
import MeanderTasks

/// What every measurement of the lab is told.
struct LabOptions: ParsableArguments {
  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigation: MitigationOptions
  @OptionGroup var format: FormatOptions

  @Option(
    name: [.short, .long], help: ArgumentHelp("The folder for report, picture and outcomes.", valueName: "folder"))
  var output: String

  @Option(help: "What decides samples, keys and places; the same seed measures the same.")
  var seed: UInt64 = 1

  @Flag(help: "Go on with the outcomes that stand in the folder, if any do.")
  var resume = false

  /// Models up to this size are read by one stream a thread; larger ones by one stream with all threads.
  private static let smallModel = 64 << 20

  func subject() async throws -> LabSubject { try await subject(mitigation.values()) }

  /// The model under `given` mitigations.
  func subject(_ given: [Mitigation]) async throws -> LabSubject {
    let threads = model.threads ?? Processors.available
    let name = model.name()
    if !given.isEmpty { Console.note("mitigations: \(given.map(\.description).joined(separator: " "))") }
    func load(_ threads: Int) async throws -> Model {
      try await Model.load(
        name, engine: Engine(threads: threads), compute: model.compute?.value, context: model.context.bound,
        state: model.state.value, mitigations: given)
    }
    let first = try await load(1)
    if threads == 1 { return LabSubject([first]) }
    guard first.weightByteCount <= Self.smallModel else { return LabSubject([try await load(threads)]) }
    var models = [first]
    for _ in 1..<threads { models.append(try await load(1)) }
    return LabSubject(models)
  }

  /// Runs `measurement` and prints its rows, with `columns` of the report, and further lists of it.
  func run(
    _ measurement: any Measurement, on subject: LabSubject, columns: [String],
    more: [(key: String, columns: [String])] = []
  ) async throws {
    try await LabRunning(folder: output, seed: seed, resumes: resume, json: format.json).run(
      measurement, on: subject, columns: columns, more: more)
  }
}

/// What a measurement that trains its models is told of it.
struct LabTrainingOptions: ParsableArguments {
  @Flag(help: "Go on with what stands in the folder.")
  var resume = false

  @Option(name: [.short, .long], help: "How many models are trained side by side.")
  var threads: Int?

  /// How many trainings run at once.
  var streams: Int { threads ?? Processors.available }

  func validate() throws {
    if let threads, !(1...256).contains(threads) { throw ValidationError("Please give --threads a number from 1 to 256.") }
  }
}

/// A measurement as a command runs it.
struct LabRunning {
  let folder: String
  let seed: UInt64
  let resumes: Bool
  let json: Bool

  /// Runs, prints, and ends as an interrupt asks.
  func run(
    _ measurement: any Measurement, on subject: LabSubject, columns: [String], more: [(key: String, columns: [String])]
  ) async throws {
    let run = MeasurementRun(measurement, subject, seed: seed, folder: folder, resumes: resumes)
    let progress = LabProgress()
    let ending = try await run.run(shouldStop: { Signals.interruptCount > 0 }, visit: { progress.update($0) })
    progress.finish()
    let output = Output.standard()
    if json {
      try output.line(ending.report.write())
    } else {
      let tables = ([(key: "results", columns: columns)] + more)
        .map { LabTable(ending.report, $0.columns, of: $0.key).lines }.filter { !$0.isEmpty }
      for line in tables.joined(separator: [""]) { try output.line(line) }
    }
    try output.flush()
    if !ending.isComplete {
      Console.note("interrupted; the report in \(folder) tells of what was measured, and --resume goes on")
      throw Interrupted()
    }
  }
}

/// Filler as the lab's options name it.
struct FillerOptions: ParsableArguments {
  @Option(
    name: .customLong("filler"),
    help: ArgumentHelp(
      "What stands between: classic (five sentences again and again), newlines, words, or files and folders of text.",
      valueName: "classic|path"))
  var names: [String] = []

  /// What the report calls it.
  var name: String { names.isEmpty ? "classic" : names.joined(separator: " ") }

  func filler() throws -> any Filler {
    switch names {
    case [], ["classic"]: RepeatedFiller.classic
    case ["newlines"]: RepeatedFiller.newlines
    case ["words"]: DrawnFiller.words
    default: try TextFiller(names)
    }
  }
}

/// Lengths: `1K`, `64K,1M`, or `1K..1M`, which goes up by factors of four and ends where it says.
struct Lengths: ExpressibleByArgument {
  let values: [Int]

  init(_ values: [Int]) { self.values = values }

  init?(argument: String) {
    var values: [Int] = []
    for part in argument.split(separator: ",", omittingEmptySubsequences: false) {
      let ends = String(part).split(separator: "..", omittingEmptySubsequences: false).map { Self.length(String($0)) }
      guard (1...2).contains(ends.count), let first = ends[0], let last = ends[ends.count - 1], first <= last else {
        return nil
      }
      var length = first
      while length < last {
        values.append(length)
        length *= 4
      }
      values.append(last)
    }
    self.values = Array(Set(values)).sorted()
  }

  /// One length, for options that take no list.
  static func one(_ text: String) throws -> Int {
    guard let length = length(text) else { throw ValidationError("'\(text)' is no length such as 256, 64K or 1M.") }
    return length
  }

  /// `1K` is 1,024.
  static func length(_ text: String) -> Int? {
    let units: [Character: Int] = ["K": 10, "k": 10, "M": 20, "m": 20, "G": 30, "g": 30]
    let shift = text.last.flatMap { units[$0] }
    guard let number = Int(shift == nil ? text : String(text.dropLast())), (1...1 << 40).contains(number) else {
      return nil
    }
    let value = number << (shift ?? 0)
    return value <= 1 << 40 ? value : nil
  }

  var defaultValueDescription: String { values.map { Figure.length(Double($0)) }.joined(separator: ",") }
}
