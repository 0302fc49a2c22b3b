import ArgumentParser
import MeanderErrors
import MeanderEvaluation
import MeanderTasks

struct LabLengthGeneralizationCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "length-generalisation",
    abstract: "Train small models on short examples, and ask them long ones.",
    usage: "meander lab length-generalisation -o <folder>",
    discussion: Examples.discussion(
      "lab length-generalisation",
      """
      Transformers with each way to know positions, and recurrent and convolutional mixers, learn copying, addition (alone, \
      with hints, by steps), sorting and associative recall on examples of up to 128 bytes, and answer shorter and longer ones. Models and \
      checkpoints stay in the folder: --resume goes on in the middle of a training. Docs/Positions.md holds the protocol.
      """))

  @Option(
    name: [.short, .long], help: ArgumentHelp("The folder for report, picture, outcomes and models.", valueName: "folder"))
  var output: String

  @Option(help: ArgumentHelp("Which schemes, set apart by commas (default: all).", valueName: "names"))
  var schemes: String?

  @Option(help: ArgumentHelp("Which tasks, set apart by commas (default: all).", valueName: "names"))
  var tasks: String?

  @Option(help: "How many models of each, from seeds of their own.")
  var seeds = 3

  @Option(help: "Steps of each training, of 16 examples.")
  var steps = 3000

  @Option(help: ArgumentHelp("Bytes of the longest examples in training.", valueName: "length"))
  var trained = Lengths([128])

  @Option(
    help: ArgumentHelp("Bytes of the examples that are asked: 1K, 64,4K, or 128..4K (by factors of four).", valueName: "lengths"))
  var lengths = Lengths([32, 64, 128, 256, 512, 1024, 2048, 4096])

  @Option(help: "How many examples of each length.")
  var samples = 100

  @Option(help: "Where training and examples start.")
  var seed: UInt64 = 1

  @OptionGroup var training: LabTrainingOptions
  @OptionGroup var format: FormatOptions

  func validate() throws {
    guard trained.values.count == 1, (16...1 << 16).contains(trained.values[0]) else {
      throw ValidationError("Please give --trained one length, from 16 to 64K.")
    }
    guard (1...1000).contains(seeds), (1...10_000_000).contains(steps), (1...100_000).contains(samples) else {
      throw ValidationError("Please give 1 to 1000 seeds, 1 to 10000000 steps, and 1 to 100000 samples.")
    }
  }

  func run() async throws {
    func chosen<Value>(_ names: String?, _ all: [Value], _ option: String, _ name: (Value) -> String) throws -> [Value] {
      try names?.split(separator: ",").map { wanted in
        guard let found = all.first(where: { name($0) == wanted }) else {
          throw MeanderError(
            .badRequest, "there is no '\(wanted)'", at: option, remedy: "There are \(all.map(name).joined(separator: ", ")).")
        }
        return found
      } ?? all
    }
    // Long convolutions are there where the command was built with them.
    #if FFTW
    let known = LengthGeneralizationMeasurement.schemes
    #else
    let known = LengthGeneralizationMeasurement.schemes.filter { $0.name != "Hyena" }
    #endif
    let folder = output.hasPrefix("/") ? output : "./\(output)"
    var measurement = LengthGeneralizationMeasurement(
      schemes: try chosen(schemes, known, "--schemes") { $0.name },
      kinds: try chosen(tasks, LengthGeneralizationMeasurement.kinds, "--tasks") { $0.name }, seeds: seeds, steps: steps,
      lengths: lengths.values, samples: samples, work: "\(folder)/models")
    measurement.trained = trained.values[0]
    try await LabRunning(folder: output, seed: seed, resumes: training.resume, json: format.json).run(
      measurement, on: LabSubject(streams: training.streams),
      columns: ["series", "length", "seeds", "samples", "accuracy", "low", "high", "bytes"], more: [])
  }
}
