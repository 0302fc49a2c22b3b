import ArgumentParser
import Meander
import MeanderFiles

struct TokenizerCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "tokenizer",
    abstract: "Turn text into token ids, and back; learn a vocabulary.",
    subcommands: [EncodeCommand.self, DecodeCommand.self, TrainTokenizerCommand.self])
}

/// Where the tokenizer comes from: a model, or a folder that holds a tokenizer alone.
struct TokenizerOptions: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp("A model, or a folder that holds only a tokenizer's files.", valueName: "model"))
  var model: String?

  func load() throws -> Tokenizer {
    var options = ModelOptions()
    options.model = model
    return try Tokenizer.load(ModelFiles.resolve(options.name()))
  }
}

struct EncodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "encode",
    abstract: "Print the token ids of standard input, one a line.",
    usage: "meander tokenizer encode [<options>]",
    discussion: Examples.discussion(
      "encode", "Input of any length is encoded piece by piece, in constant memory (but for --json)."),
    aliases: ["tokenize"])

  @OptionGroup var tokenizer: TokenizerOptions
  @OptionGroup var format: FormatOptions

  @Flag(help: "Add the special tokens that the model expects around a text.")
  var special = false

  func run() async throws {
    let tokenizer = try tokenizer.load()
    var encoder = tokenizer.makeEncoder(special: special)
    let output = Output.standard()
    var input = try Input.standard()
    var ids: [Int32] = []
    func deliver(_ pieces: [TokenPiece]) throws {
      if format.json {
        ids += pieces.map(\.id)
      } else {
        try output.write(pieces.flatMap { Array("\($0.id)\n".utf8) })
      }
    }
    while let bytes = try input.next() {
      var pieces: [TokenPiece] = []
      encoder.push(bytes, into: &pieces)
      try deliver(pieces)
    }
    var pieces: [TokenPiece] = []
    encoder.finish(into: &pieces)
    try deliver(pieces)
    if format.json {
      try output.line(JSONText.object { $0.array("ids") { row in ids.forEach { row.element($0) } } })
    }
    try output.flush()
  }
}

struct DecodeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "decode",
    abstract: "Print the text of the token ids on standard input.",
    usage: "meander tokenizer decode [<options>]",
    discussion: Examples.discussion(
      "decode",
      "Ids are set apart by spaces, commas or line breaks, or come as the JSON that encode prints."))

  @OptionGroup var tokenizer: TokenizerOptions
  @OptionGroup var format: FormatOptions

  @Flag(help: "Leave special tokens out of the text.")
  var skipSpecial = false

  func run() async throws {
    let tokenizer = try tokenizer.load()
    var decoder = tokenizer.makeDecoder(skippingSpecial: skipSpecial)
    let output = Output.standard()
    var whole: [UInt8] = []
    func deliver(_ text: String) throws {
      if format.json { whole += text.utf8 } else { try output.write(text) }
    }
    try ids(below: tokenizer.vocabularyCount) { try deliver(decoder.push($0)) }
    try deliver(decoder.finish())
    if format.json { try output.line(JSONText.object { $0.field("text", text: whole) }) }
    try output.flush()
  }

  private func ids(below bound: Int, _ take: (Int32) throws -> Void) throws {
    var input = try Input.standard()
    var scanner = IntegerScanner(below: bound, path: "standard input")
    var document: [UInt8]?
    while let bytes = try input.next() {
      if document == nil, bytes.first(where: { $0 > UInt8(ascii: " ") }) == UInt8(ascii: "{") { document = [] }
      if document != nil {
        document? += bytes
        continue
      }
      var ids: [Int32] = []
      try scanner.push(bytes, into: &ids)
      try ids.forEach(take)
    }
    if let document {
      return try IntegerText.json(document, path: "standard input", below: bound).forEach(take)
    }
    var last: [Int32] = []
    scanner.finish(into: &last)
    try last.forEach(take)
  }
}
