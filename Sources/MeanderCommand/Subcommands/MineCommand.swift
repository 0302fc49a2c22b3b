import ArgumentParser
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderText
import MeanderTraining

struct MineCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "mine",
    abstract: "Find the text that a model of long memory falls for, to train it on.",
    usage: "meander mine <file> ... -o <file> [<options>]",
    discussion: Examples.discussion(
      "mine",
      """
      Reads the files, folders and all below them, and keeps the windows in which a head of long memory takes the largest time \
      steps over its usual one: there the model writes down, or forgets by, what it should pass over. The file that is \
      written, a window after another with a zero byte behind each, is what a recipe's "negatives" names as "path"; a recipe \
      can also mine by itself while it trains (Docs/Training.md). The same model, text and options give the same file.
      """))

  @Argument(help: ArgumentHelp("Text to scan: files or folders.", valueName: "file"))
  var files: [String]

  @Option(
    name: [.short, .long],
    help: ArgumentHelp("The model: a directory, a file, a shipped model's name, or a hub name.", valueName: "model"))
  var model: String

  @Option(help: ArgumentHelp("Bytes of a window.", valueName: "bytes"))
  var window = NegativeMiner.Settings().window

  @Option(help: ArgumentHelp("How many windows are kept at most.", valueName: "n"))
  var count = NegativeMiner.Settings().count

  @Option(help: ArgumentHelp("From how many tokens on a head's memory is long.", valueName: "tokens"))
  var memory = NegativeMiner.Settings().memory

  @Option(name: [.short, .long], help: ArgumentHelp("Where the windows are written.", valueName: "file"))
  var output: String

  func validate() throws {
    guard (16...2048).contains(window) else { throw ValidationError("Please give --window a number from 16 to 2048.") }
    guard (1...1 << 16).contains(count) else { throw ValidationError("Please give --count a number from 1 to 65536.") }
    guard memory >= 1, memory <= 1e12 else { throw ValidationError("Please give --memory a number of tokens.") }
  }

  func run() throws {
    let files = try Folder.files(below: files)
    var settings = NegativeMiner.Settings()
    (settings.window, settings.count, settings.memory) = (window, count, memory)
    let model = try ModelFiles.resolve(model)
    let miner = try NegativeMiner(model, tokenizer: try .load(model), table: try .fromEnvironment())
    let ranges = files.indices.map { ($0, 0..<Int(FileStatus(files[$0])?.size ?? 0)) }
    let finds = try miner.find(settings, in: files, ranges)
    guard let first = finds.first, let last = finds.last else {
      throw MeanderError(.badData, "the text is shorter than two windows", at: self.files.joined(separator: ", "))
    }
    var bytes: [UInt8] = []
    for find in finds {
      let text = try FileBytes.mapping(files[find.file])
      bytes += text.copy(find.offset..<min(text.count, find.offset + window)).filter { $0 != 0 } + [0]
    }
    try AtomicFile.write(output, mode: 0o644, bytes: bytes)
    let scores = [first, last].map { decimal(Double($0.score), places: 1) }
    Console.note("\(grouped(finds.count)) windows, \(scores[0]) to \(scores[1]) times the usual time step")
  }
}
