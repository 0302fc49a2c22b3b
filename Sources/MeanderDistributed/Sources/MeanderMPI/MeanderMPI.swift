import ArgumentParser
import CMeanderMPI
import Glibc
import MeanderTraining

@main
struct MeanderMPI: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "meander-mpi",
    abstract: "Train a model on several machines, or on several processes of one: mpirun -n N meander-mpi train RECIPE.",
    subcommands: [TrainCommand.self])
}

struct TrainCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Train by a recipe, each rank on its rows of the batch.",
    discussion: """
      Recipe, log, checkpoints and model are those of "meander train", and each goes on from the other's checkpoints. All ranks read \
      the recipe and its data at the same paths and see one output folder, to which rank 0 writes. The batch must be a multiple \
      of the number of ranks.
      """)

  @Argument(help: ArgumentHelp("The recipe.", valueName: "recipe.json"))
  var recipe: String

  @Flag(help: "Go on from the newest checkpoint if there is one, else start.")
  var resume = false

  @Option(name: [.short, .long], help: ArgumentHelp("How many samples each rank learns from at once.", valueName: "n"))
  var threads = 1

  @Option(help: ArgumentHelp("Stop after this step, with a checkpoint.", valueName: "step"))
  var until: Int?

  func validate() throws {
    guard (1...256).contains(threads) else { throw ValidationError("Please give --threads a number from 1 to 256.") }
    if let until, until < 1 { throw ValidationError("Please give --until a step.") }
  }

  func run() throws {
    guard meander_mpi_start() == MEANDER_MPI_DONE else { Self.end(String(cString: meander_mpi_message())) }
    let exchange = MessageExchange()
    var step = 0
    do {
      let recipe = try Recipe(path: recipe)
      let run = try TrainingRun(recipe, threads: threads, resumes: resume, exchange: exchange)
      step = run.trainer.step
      var last = ContinuousClock.now - .seconds(60)
      let ending = try run.run(
        shouldStop: { meander_mpi_stops() > 0 || run.trainer.step >= until ?? .max },
        visit: { report in
          step = report.step
          guard exchange.rank == 0, ContinuousClock.now - last > .seconds(10) else { return }
          last = .now
          Self.say(
            "step \(report.step) of \(recipe.steps)  loss \(report.loss)  \(Int(Double(report.tokens) / report.seconds)) tokens/s"
              + "  on \(exchange.ranks) ranks")
        })
      if exchange.rank == 0 {
        Self.say(
          ending == .finished
            ? "done: the model is in \(recipe.resolvedOutput)"
            : "stopped after step \(run.trainer.step); --resume goes on from there")
      }
      meander_mpi_finish()
      if ending == .interrupted, meander_mpi_stops() > 0 { Glibc.exit(130) }
    } catch let failure as ExchangeFailure {
      Self.end(
        "rank \(exchange.rank): \(failure), in step \(step + 1). The newest checkpoint in the output folder is whole: run the same "
          + "command with --resume.")
    } catch {
      // Whoever leaves without a word to MPI takes the other ranks along.
      Self.end("rank \(exchange.rank): \(error)")
    }
  }

  private static func say(_ text: String) {
    let line = Array("meander-mpi: \(text)\n".utf8)
    _ = write(STDERR_FILENO, line, line.count)
  }

  private static func end(_ text: String) -> Never {
    say(text)
    _exit(1)
  }
}
