import ArgumentParser
import Glibc
import MeanderErrors
import MeanderFiles
#if FFTW
import MeanderLongConvolution
#endif

@main
struct MeanderCommand: AsyncParsableCommand {
  /// Every subcommand; a new one is a file and a line here.
  private static let all: [any ParsableCommand.Type] = own + added

  /// Those that need what a trait links.
  private static var added: [any ParsableCommand.Type] {
    #if FFTW
    [DistillCommand.self]
    #else
    []
    #endif
  }

  private static let own: [any ParsableCommand.Type] = [
    StreamCommand.self,
    AskCommand.self,
    RunCommand.self,
    ChatCommand.self,
    StateCommand.self,
    InspectCommand.self,
    LogitsCommand.self,
    TokenizerCommand.self,
    TrainCommand.self,
    CalibrateCommand.self,
    LabCommand.self,
    MineCommand.self,
    QuantizeCommand.self,
    PlotCommand.self,
    BenchCommand.self,
  ]

  static let configuration = CommandConfiguration(
    commandName: "meander",
    abstract: "Recurrent language models over input of any length, in constant memory.",
    discussion: """
      Standard output carries the result alone; progress, notes and errors go to standard error.

      Exit status: 0 done, 1 failed, 64 usage, 65 bad data or model file, 66 no input, 74 input/output, 130 interrupted.
      """,
    version: "0.1.0",
    subcommands: all)

  static func main() async {
    await Glibc.exit(status(Array(CommandLine.arguments.dropFirst())))
  }

  /// Runs a command line and returns how it ended; what there is to say was said.
  private static func status(_ arguments: [String]) async -> Int32 {
    do {
      try Signals.install()
      #if FFTW
      LongConvolution.register()
      #endif
      var command = try parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return ExitStatus.done
    } catch let error as MeanderError {
      if error.cause is ClosedPipe { return ExitStatus.done }
      Console.report(error)
      return ExitStatus.of(error.code)
    } catch is Interrupted {
      return ExitStatus.interrupted
    } catch {
      return report(error)
    }
  }

  /// Help that was asked for goes to standard output, what is wrong with a command line to standard error.
  private static func report(_ error: any Error) -> Int32 {
    let code = exitCode(for: error).rawValue
    let message = fullMessage(for: error)
    guard code == 0 else {
      Console.write(message + "\n")
      return code
    }
    do {
      let output = Output.standard()
      try output.line(message)
      try output.flush()
      return ExitStatus.done
    } catch {
      return (error as? MeanderError)?.cause is ClosedPipe ? ExitStatus.done : ExitStatus.inputOutput
    }
  }
}
