import ArgumentParser
import Meander

/// How much of the past attention keeps: the same in every command. A recurrent state has no use for it.
struct ContextOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "Attention keeps this many tokens from the start of the stream (default: 16, or none beside a model's own window).",
      valueName: "n"))
  var firstTokens: Int?

  @Option(
    help: ArgumentHelp(
      "Attention keeps this many of the last tokens (default: what the model was trained on, 2048 at most).", valueName: "n"))
  var lastTokens: Int?

  @Option(
    help: ArgumentHelp(
      "Attention keeps every token, in at most this much memory a session (512M, 4G), and ends with an error beyond.",
      valueName: "size"))
  var fullContext: ByteSize?

  func validate() throws {
    if fullContext != nil, firstTokens != nil || lastTokens != nil {
      throw ValidationError("Please give --full-context, or --first-tokens and --last-tokens.")
    }
  }

  var bound: ContextBound {
    fullContext.map { .full(bytes: $0.bytes) } ?? .bounded(globals: firstTokens, locals: lastTokens)
  }
}

/// Bytes: `65536`, `512M`, `4G`, in units of 1,024.
struct ByteSize: ExpressibleByArgument {
  let bytes: Int

  init?(argument: String) {
    guard let bytes = Lengths.length(argument) else { return nil }
    self.bytes = bytes
  }
}
