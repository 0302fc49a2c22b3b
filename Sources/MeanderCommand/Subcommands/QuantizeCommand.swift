import ArgumentParser
import Meander

struct QuantizeCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "quantize",
    abstract: "Write a model as a GGUF file of fewer bits.",
    usage: "meander quantize <model> --type <type> -o <file>",
    discussion: Examples.discussion(
      "quantize",
      """
      Matrices are rounded to the type, everything else stays in fp32. A GGUF file can be given another type whatever its \
      architecture; of other models, most that llama.cpp knows are written, and it reads the files, too.
      """))

  @Argument(help: "A directory, a file, a shipped model's name, or a hub name in the local cache.")
  var model: String

  @Option(help: ArgumentHelp("One of \(Quantization.types.joined(separator: ", ")).", valueName: "type"))
  var type: String

  @Option(name: [.short, .long], help: ArgumentHelp("The file to write.", valueName: "file"))
  var output: String

  func run() throws {
    let summary = try Quantization.write(model, as: type, to: output)
    Console.note("\(output) holds \(grouped(summary.byteCount)) bytes of tensors")
    if !summary.hasTokenizer {
      Console.note("the file holds no tokenizer: GGUF has no name for the model's, or it has none")
    }
  }
}
