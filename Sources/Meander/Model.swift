import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText

/// A loaded model: immutable weights, packed once, and their tokenizer, shared by any number of sessions.
public final class Model: Sendable {
  /// The shipped model that is meant where none is named.
  public static let defaultName = "reader"

  /// The name or path that it was loaded by.
  public let name: String
  /// Where it computes.
  public let engine: Engine
  /// How its products are computed.
  public let compute: Compute
  /// What turns text into its tokens; one token a byte where the files hold none.
  public let tokenizer: Tokenizer
  /// Why text cannot be fed, where the files hold no tokenizer; ids still can.
  let missingTokenizer: MeanderError?
  /// How `generate` draws where nothing else is asked for: what the model's `generation_config.json` says;
  /// greedy where that is silent.
  public let generationDefaults: SamplingOptions
  /// Tokens that end a generation.
  public let endTokens: Set<Int32>

  /// How the files write a conversation; what is wrong with it matters to who asks for it.
  let chat: Result<ChatTemplate?, any Error>

  package let language: LanguageModel
  package let kernels: Kernels
  /// Scratch memory, which the job whose turn it is uses alone.
  let workspace: Workspace
  private let reservations: [MemoryReservation]

  /// The same model, moving states another way.
  private init(_ model: Model, _ language: LanguageModel) {
    name = model.name
    engine = model.engine
    compute = model.compute
    tokenizer = model.tokenizer
    missingTokenizer = model.missingTokenizer
    generationDefaults = model.generationDefaults
    endTokens = model.endTokens
    chat = model.chat
    self.language = language
    kernels = model.kernels
    workspace = model.workspace
    reservations = model.reservations
  }

  private init(
    files: ModelFiles, engine: Engine, compute: Compute, language: LanguageModel, workspace: Workspace,
    reservations: [MemoryReservation]
  ) throws {
    let tokenizer: Tokenizer
    do {
      tokenizer = try Tokenizer.load(files)
      missingTokenizer = nil
    } catch let error as MeanderError where error.code == .notFound {
      tokenizer = .bytes
      missingTokenizer = error
    }
    let generation = try GenerationFile(files)
    name = files.name
    self.engine = engine
    self.compute = compute
    self.tokenizer = tokenizer
    generationDefaults = generation.sampling
    endTokens = generation.endTokens.isEmpty ? tokenizer.endOfText : generation.endTokens
    chat = Result { try ChatTemplate(files, tokenizer) }
    self.language = language
    kernels = Kernels(table: engine.table, team: engine.team, compute: compute)
    self.workspace = workspace
    self.reservations = reservations
  }
}

extension Model {
  /// Loads a model: a shipped one that the program links by name, a directory or file, or a hub name
  /// (`org/name`) found in the local hub cache.
  ///
  /// The weights are mapped, packed into the layout that the products read, and their pages released.
  /// O(weights). The work is done on the engine's thread and waits its turn there.
  ///
  /// - Parameters:
  ///   - nameOrPath: a shipped model's name, a path, or a hub name.
  ///   - engine: where the model computes; its memory limit counts the packed weights.
  ///   - compute: `.fp32` (the same bits on every CPU), `.bf16` (products in bfloat16 with fp32 sums: about
  ///     half the memory and the time of decoding), or `.int8` (products of quantised weights by activations rounded
  ///     to 8 bits, the same bits on every CPU). Left out: `.int8` for a model with quantised weights, else `.fp32`.
  ///   - context: how much of the past attention keeps; a recurrent state has no use for it.
  ///   - state: how exactly its states keep their sums over the past; see `keepingStates(in:)`.
  ///   - mitigations: how its states evolve other than it was trained; see `mitigated(by:)`.
  /// - Throws: `notFound` with the ways to name a model, `badData` for files that do not hold one (all
  ///   missing, unexpected and mis-shaped tensors at once), `limit` before the memory limit would be passed.
  public static func load(
    _ nameOrPath: String, engine: Engine, compute: Compute? = nil, context: ContextBound = .standard,
    state: StatePrecision = .fp32, mitigations: [Mitigation] = []
  ) async throws -> Model {
    let model = try await engine.perform { isCancelled -> Model? in
      if isCancelled { throw MeanderError(.cancelled, "loading was cancelled", at: nameOrPath) }
      let files = try ModelFiles.resolve(nameOrPath)
      let language = try LanguageModel.load(
        files, table: engine.table, compute: compute, memoryLimit: engine.memoryLeft, context: context)
      let weights = try engine.reserve(language.weightByteCount, for: "the weights of \(files.name)")
      let workspace = language.workspace(maximumTokens: Session.chunk)
      let scratch = try engine.reserve(workspace.byteCount, for: "the working memory of \(files.name)")
      return try Model(
        files: files, engine: engine, compute: language.compute, language: language, workspace: workspace,
        reservations: [weights, scratch])
    }
    let kept = state == .fp32 ? model : try model.keepingStates(in: state)
    return mitigations.isEmpty ? kept : try kept.mitigated(by: mitigations)
  }

  /// The same weights, sharing all memory, whose states evolve under `mitigations` and no others. O(1).
  ///
  /// - Throws: `unsupported`, with the reason, for one that the model's mixers cannot take; `badRequest` for a setting out of
  ///   range and for two that exclude each other; `mismatch` for one that was calibrated for another model.
  public func mitigated(by mitigations: [Mitigation]) throws -> Model {
    Model(self, try language.mitigated(by: mitigations))
  }

  /// The same weights, sharing all memory, whose sessions keep their states in `precision`. O(1).
  ///
  /// Throws `unsupported` for `.compensated` where the model has no sums that could be.
  public func keepingStates(in precision: StatePrecision) throws -> Model {
    Model(self, try language.keepingStates(in: precision))
  }

  /// How exactly its sessions keep their sums over the past.
  public var statePrecision: StatePrecision { language.plan.precision }

  /// The mitigations in force, in one order, whatever the one in which they were given.
  public var mitigations: [Mitigation] { language.plan.mitigations }

  /// The architecture: `mamba2`, say.
  public var architecture: String { language.facts.architecture }
  /// A digest of the weights by value and of what they are shaped to: two models that agree in it are one
  /// model.
  public var fingerprint: String { language.fingerprint }
  /// Bytes of the packed weights.
  public var weightByteCount: Int { language.weightByteCount }
  /// Bytes of one session's recurrent state, whatever it has read; what mitigations keep beside it included.
  public var stateByteCount: Int { language.layout.byteCount }
  /// How many tokens its attention holds, the first and the last ones together; nil where it has none.
  public var contextTokens: Int? { language.contextTokens }
  /// V: how many tokens the model gives a logit.
  public var vocabularyCount: Int { language.facts.vocabulary }
  /// How many numbers the weights hold.
  public var parameterCount: Int { language.facts.parameters }
  /// What the model was made for: `language` (its surprise means something), `recall` (it answers what it
  /// read); empty where its configuration does not say.
  public var purposes: [String] { language.facts.intent.purposes }
  /// The longest stream that it was trained on with one state, in tokens, where its configuration says so.
  public var trainedLength: Int? { language.facts.intent.trainedLength }
  /// How many tokens its answers have, where its configuration says that all have as many: 5 for a five-digit
  /// key.
  public var answerTokens: Int? { language.facts.intent.answerTokens }
}
