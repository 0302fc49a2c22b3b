import ArgumentParser
import Meander
import MeanderErrors
import MeanderFiles

struct TrainTokenizerCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "train",
    abstract: "Learn a byte-level BPE vocabulary from text.",
    usage: "meander tokenizer train [<file> ...] [<options>]",
    discussion: Examples.discussion(
      "tokenizer train",
      """
      Reads the files, folders and all below them, or standard input where none is named, and writes a tokenizer.json that \
      Python's tokenizers loads, with the same ids there. Special tokens take the first ids, the 256 bytes the next.
      """))

  @Argument(help: ArgumentHelp("Text to learn from: files or folders; .gz and .zst are unpacked.", valueName: "file"))
  var files: [String] = []

  @Option(help: ArgumentHelp("How many entries, special tokens and bytes included.", valueName: "n"))
  var vocabulary = 4096

  @Option(help: ArgumentHelp("A token that stands for no text, such as the end of one; repeatable.", valueName: "token"))
  var special: [String] = []

  @Option(help: "How words are cut: gpt2, or digits, which splits every digit off as well.")
  var splitting = BytePairTrainer.Splitting.digits

  @Option(name: [.short, .long], help: ArgumentHelp("Where the tokenizer.json is written.", valueName: "file"))
  var output: String

  func validate() throws {
    guard (257...1 << 20).contains(vocabulary) else {
      throw ValidationError("Please give --vocabulary a number from 257 to 1048576.")
    }
  }

  func run() throws {
    var trainer = BytePairTrainer(splitting: splitting, special: special)
    if files.isEmpty {
      var input = try Input.standard()
      while let bytes = try input.next() { trainer.push(bytes) }
      trainer.finish()
    }
    for path in try Folder.files(below: files) {
      let file = try PackedFile(path)
      while let bytes = try file.read(1 << 16) {
        trainer.push(bytes)
        if Signals.interruptCount > 0 { throw Interrupted() }
      }
      trainer.finish()
    }
    try AtomicFile.write(output, mode: 0o644, bytes: try trainer.tokenizerFile(size: vocabulary))
  }
}

extension BytePairTrainer.Splitting: ExpressibleByArgument {}
