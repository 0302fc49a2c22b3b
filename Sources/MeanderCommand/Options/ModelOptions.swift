import ArgumentParser
import Meander
import MeanderFiles

/// Which model, and how it computes: the same in every command.
struct ModelOptions: ParsableArguments {
  @Option(
    name: [.short, .long],
    help: ArgumentHelp(
      """
      A directory, a file, a shipped model's name, or a hub name in the local cache. Left out: $MEANDER_MODEL, else \
      the shipped default.
      """,
      valueName: "model"))
  var model: String?

  @Option(name: [.short, .long], help: "How many threads compute (default: as many as this process may run on).")
  var threads: Int?

  @Option(
    name: .long,
    help: """
      How products are computed: fp32 is the same to the bit on every CPU, bf16 is faster, int8 takes quantised weights by \
      activations of 8 bits (default: int8 for a quantised model, else fp32).
      """)
  var compute: ComputeOption?

  @Option(
    name: .long,
    help: """
      How exactly states keep their sums over the past: bf16 rounds them at every 512th token of the stream, compensated \
      also keeps what fp32 rounds away.
      """)
  var state: StateOption = .fp32

  @OptionGroup var context: ContextOptions

  func validate() throws {
    if let threads, !(1...1024).contains(threads) {
      throw ValidationError("Please give --threads a number from 1 to 1024.")
    }
  }

  /// The model's name as it was given, or where none was, the one to take; which is then said.
  func name(saying: Bool = true) -> String {
    if let model { return model }
    if let name = Environment["MEANDER_MODEL"], !name.isEmpty {
      if saying { Console.note("model \(name), from $MEANDER_MODEL") }
      return name
    }
    if saying { Console.note("model \(Model.defaultName), the shipped default (-m names another)") }
    return Model.defaultName
  }

  /// - Parameter mitigations: how states evolve; what is in force is said.
  func load(_ mitigations: MitigationOptions? = nil, memoryLimit: Int? = nil) async throws -> Model {
    // Told apart before a model is loaded for nothing.
    let given = try mitigations?.values() ?? []
    let engine = try Engine(threads: threads, memoryLimit: memoryLimit)
    let model = try await Model.load(
      name(), engine: engine, compute: compute?.value, context: context.bound, state: state.value,
      mitigations: given)
    if !given.isEmpty { Console.note("mitigations: \(model.mitigations.map(\.description).joined(separator: " "))") }
    return model
  }
}

/// How states evolve: the same in every command that reads.
struct MitigationOptions: ParsableArguments {
  @Option(
    parsing: .unconditionalSingleValue,
    help: ArgumentHelp(
      """
      Change how the state evolves (may be repeated): \(Mitigation.names.joined(separator: ", ")). @FILE takes what \
      `meander calibrate` found.
      """,
      valueName: "name:key=value,…"))
  var mitigation: [String] = []

  /// Throws `badRequest` for a mitigation that there is none of.
  func values() throws -> [Mitigation] { try mitigation.map { try Mitigation($0) } }
}

enum StateOption: String, CaseIterable, ExpressibleByArgument {
  case fp32
  case bf16
  case compensated

  var value: StatePrecision {
    switch self {
    case .fp32: .fp32
    case .bf16: .bf16
    case .compensated: .compensated
    }
  }
}

enum ComputeOption: String, CaseIterable, ExpressibleByArgument {
  case fp32
  case bf16
  case int8

  var value: Compute {
    switch self {
    case .fp32: .fp32
    case .bf16: .bf16
    case .int8: .int8
    }
  }
}
