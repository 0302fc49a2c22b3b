import ArgumentParser
import MeanderErrors
import MeanderFiles
import MeanderTraining

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train a model by a recipe, from scratch or from a checkpoint.",
    usage: "meander train <recipe.json> [<options>]",
    discussion: Examples.discussion(
      "train",
      """
      The recipe, a JSON file, names model or starting point, data, tokenizer, optimiser, schedule and output; Docs/Training.md \
      lists its keys, and a key that means nothing is refused by name. Below the output folder the run keeps log.jsonl, a line \
      for each step, and its newest two checkpoints; at the end it writes the model, in Hugging Face's layout, with a card.

      One interrupt finishes the step and writes a checkpoint. With --resume the run goes on from the newest checkpoint, to the \
      bit as if it had never stopped, given the same number of threads.
      """))

  @Argument(help: ArgumentHelp("The recipe.", valueName: "recipe.json"))
  var recipe: String

  @Flag(help: "Go on from the newest checkpoint if there is one, else start.")
  var resume = false

  @Option(name: [.short, .long], help: ArgumentHelp("How many samples are learned from at once.", valueName: "n"))
  var threads: Int?

  @Option(help: ArgumentHelp("Stop after this step, with a checkpoint, as an interrupt would.", valueName: "step"))
  var until: Int?

  func validate() throws {
    if let threads, !(1...256).contains(threads) { throw ValidationError("Please give --threads a number from 1 to 256.") }
    if let until, until < 1 { throw ValidationError("Please give --until a step.") }
  }

  func run() throws {
    let recipe = try Recipe(path: recipe)
    let run = try TrainingRun(recipe, threads: threads ?? Processors.available, resumes: resume)
    if run.trainer.step > 0 { Console.note("going on after step \(grouped(run.trainer.step)) of \(grouped(recipe.steps))") }
    var progress = TrainingProgress(steps: recipe.steps, first: run.trainer.step)
    let ending = try run.run(
      shouldStop: { Signals.interruptCount > 0 || run.trainer.step >= until ?? .max },
      visit: { progress.update($0) })
    progress.finish()
    switch ending {
    case .finished: Console.note("done: the model is in \(recipe.resolvedOutput)")
    case .interrupted where Signals.interruptCount == 0: Console.note("stopped after step \(grouped(run.trainer.step)), as asked")
    case .interrupted:
      Console.note("interrupted after step \(grouped(run.trainer.step)); --resume goes on from there")
      throw Interrupted()
    }
  }
}

/// How far a training is, on standard error: a line that redraws itself on a terminal, else a line now and then.
private struct TrainingProgress {
  private let steps: Int
  private let first: Int
  private let clock = ContinuousClock()
  private let start: ContinuousClock.Instant
  private var last: ContinuousClock.Instant
  private let isTerminal = Terminal.isTerminal(.error)
  private var isDrawn = false
  /// Moving averages, so that the line can be read.
  private var loss: Double?
  private var speed: Double?

  init(steps: Int, first: Int) {
    (self.steps, self.first) = (steps, first)
    start = clock.now
    last = start - .seconds(60)
  }

  mutating func update(_ report: Trainer.Report) {
    let now = report.seconds > 0 ? Double(report.tokens) / report.seconds : 0
    loss = loss.map { 0.95 * $0 + 0.05 * report.loss } ?? report.loss
    speed = speed.map { 0.95 * $0 + 0.05 * now } ?? now
    guard last.duration(to: clock.now) >= (isTerminal ? .milliseconds(200) : .seconds(10)) else { return }
    last = clock.now
    let done = report.step - first
    let left = start.duration(to: clock.now).seconds / Double(max(1, done)) * Double(steps - report.step)
    let shares = report.shares.filter { $0.share >= 0.03 }.sorted { $0.share > $1.share }
      .map { "\($0.kind) \(Int(($0.share * 100).rounded())) %" }
    draw(
      [
        "step \(grouped(report.step)) of \(grouped(steps))", "loss \(decimal(loss ?? 0, places: 4))",
        "\(grouped(Int(speed ?? 0))) tokens/s", "ETA \(duration(seconds: left))", shares.joined(separator: ", "),
      ].joined(separator: "  "))
  }

  mutating func finish() {
    guard isDrawn else { return }
    Console.write("\n")
    isDrawn = false
  }

  private mutating func draw(_ text: String) {
    guard isTerminal else { return Console.note(text) }
    Console.write("\r\u{1B}[K" + String(text.prefix(max(20, (Terminal.width(.error) ?? 80) - 1))))
    isDrawn = true
  }
}
