import ArgumentParser
import Meander
import MeanderFiles
import MeanderModels
import Synchronization

struct LogitsCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "logits",
    abstract: "Write the logits at every position and the final states, to compare with other frameworks.",
    usage: "meander logits --ids <file> -o <file> [<options>]",
    discussion: Examples.discussion(
      "logits",
      """
      The output is a safetensors file: `logits` (float32, T × V) and for each layer N `layers.N.ssm` and \
      `layers.N.conv`, or `layers.N.k` and `layers.N.v`. The logits are written as they come; T may be any length.
      """))

  @OptionGroup var model: ModelOptions
  @OptionGroup var mitigations: MitigationOptions

  @Option(help: ArgumentHelp("A JSON array of token ids.", valueName: "file.json"))
  var ids: String

  @Option(help: ArgumentHelp("Feed the ids in pieces of these sizes, then the rest.", valueName: "n,n,…"))
  var split: Pieces?

  @Option(help: ArgumentHelp("Start from the state in this snapshot.", valueName: "file"))
  var load: String?

  @Option(name: [.short, .long], help: ArgumentHelp("Where to write.", valueName: "file.safetensors"))
  var output: String

  struct Pieces: ExpressibleByArgument {
    var sizes: [Int]

    init?(argument: String) {
      let sizes = argument.split(separator: ",", omittingEmptySubsequences: false).map { Int($0) }
      guard sizes.allSatisfy({ $0 ?? 0 > 0 }) else { return nil }
      self.sizes = sizes.compactMap(\.self)
    }

    /// Consecutive pieces of `ids` of these sizes, and the rest.
    func cut(_ ids: [Int32]) throws -> [ArraySlice<Int32>] {
      var pieces: [ArraySlice<Int32>] = []
      var rest = ids[...]
      for size in sizes {
        guard size <= rest.count else {
          throw MeanderError(
            .badRequest, "the pieces hold more than the \(ids.count) ids", at: "--split",
            remedy: "Give sizes whose sum is at most the number of ids.")
        }
        pieces.append(rest.prefix(size))
        rest = rest.dropFirst(size)
      }
      return rest.isEmpty ? pieces : pieces + [rest]
    }
  }

  func run() async throws {
    let document = try FileBytes.mapping(ids)
    let model = try await model.load(mitigations)
    let ids = try IntegerText.json(document.copy(), path: ids, below: model.vocabularyCount)
    guard !ids.isEmpty else {
      throw MeanderError(.badData, "there are no ids", at: self.ids, remedy: "Write them as [5, 17, 3].")
    }
    let pieces = try split?.cut(ids) ?? [ids[...]]
    var states = StateOptions()
    states.load = load
    let session = try states.session(model)
    try await write(pieces, session)
  }
}

extension LogitsCommand {
  private func write(_ pieces: [ArraySlice<Int32>], _ session: Session) async throws {
    let count = pieces.reduce(0) { $0 + $1.count }
    let declared = try await session.referenceShapes(after: count)
    let shapes = [("logits", [count, session.model.vocabularyCount])] + declared
    let file = FloatFile(try SafeTensorsStream(output, shapes.map(Self.entry), mode: 0o644))
    for piece in pieces {
      try await session.feed(ids: Array(piece)) { _, values in
        if Signals.interruptCount > 0 { throw Interrupted() }
        try file.append(values)
      }
    }
    for tensor in try await session.referenceState() { try file.append(tensor.values) }
    try file.commit()
  }

  private static func entry(_ name: String, _ shape: [Int]) throws -> TensorEntry {
    guard let entry = TensorEntry(name: name, type: .f32, shape: shape) else {
      throw MeanderError(.limit, "\(shape) floats are more than a file can hold", at: "tensor \(name)")
    }
    return entry
  }
}

/// The output file, which the engine's thread and the command write in turn.
private final class FloatFile: Sendable {
  private let stream: Mutex<SafeTensorsStream>

  init(_ stream: sending SafeTensorsStream) { self.stream = Mutex(stream) }

  func append(_ values: [Float]) throws { try stream.withLock { try $0.append(values) } }
  func commit() throws { try stream.withLock { try $0.commit() } }
}
