import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// A model with one state, for tests: everything that moves it forward in one place.
struct Harness {
  let model: LanguageModel
  let kernels: Kernels
  let workspace: Workspace
  let state: ModelState

  init(
    _ files: ModelFiles, compute: Compute = .fp32, table: KernelTable = .best, threads: Int = 2,
    maximumTokens: Int = LanguageModel.grid, context: ContextBound = .standard
  ) throws {
    model = try LanguageModel.load(files, table: table, compute: compute, context: context)
    kernels = Kernels(table: table, team: WorkerTeam(threads: threads), compute: compute)
    workspace = model.workspace(maximumTokens: maximumTokens)
    state = model.makeState()
  }

  /// Another state of the same model, which has read nothing.
  init(sharing other: Harness) {
    (model, kernels, workspace) = (other.model, other.kernels, other.workspace)
    state = model.makeState()
  }

  /// A state of a model that shares `other`'s weights.
  init(_ model: LanguageModel, like other: Harness) {
    (self.model, kernels, workspace) = (model, other.kernels, other.workspace)
    state = model.makeState()
  }

  /// Logits after each of `ids`, T × V, fed in pieces of the sizes of `cut` (the rest in one).
  func logits(_ ids: [Int32], cut: [Int] = [], form: RecurrenceForm = .scan) throws -> [Float] {
    var result: [Float] = []
    var rest = ids[...]
    var sizes = cut[...]
    while !rest.isEmpty {
      let piece = rest.prefix(sizes.popFirst() ?? rest.count)
      try model.advance(
        state, by: piece, kernels: kernels, workspace: workspace, form: form,
        readout: .each { _, rows in result += rows.array() })
      rest = rest.dropFirst(piece.count)
    }
    return result
  }

  /// Moves on without looking at logits.
  func read(_ ids: [Int32], cut: [Int] = []) throws {
    var rest = ids[...]
    var sizes = cut[...]
    while !rest.isEmpty {
      let piece = rest.prefix(sizes.popFirst() ?? rest.count)
      try model.advance(state, by: piece, kernels: kernels, workspace: workspace)
      rest = rest.dropFirst(piece.count)
    }
  }

  func finalLogits() throws -> [Float] { try model.logits(after: state, kernels: kernels, workspace: workspace) }

  /// All bytes of the state.
  var bits: [[UInt8]] { model.layout.regions.map { state.bytes(of: $0) } }
}

/// The golden fixtures; those in the original layout have their goldens beside the
/// twin.
struct GoldenModel: Sendable, CustomTestStringConvertible {
  let folder: String
  let goldens: String

  var testDescription: String { folder }

  static let all = [
    GoldenModel(folder: "mamba2-bf16", goldens: "mamba2-bf16"),
    GoldenModel(folder: "mamba2-defaults", goldens: "mamba2-defaults"),
    GoldenModel(folder: "mamba2-defaults-original", goldens: "mamba2-defaults"),
    GoldenModel(folder: "mamba2-groups", goldens: "mamba2-groups"),
    GoldenModel(folder: "mamba2-tied", goldens: "mamba2-tied"),
    GoldenModel(folder: "mamba2-tied-original", goldens: "mamba2-tied"),
    GoldenModel(folder: "mamba1", goldens: "mamba1"),
    GoldenModel(folder: "mamba1-original", goldens: "mamba1"),
    GoldenModel(folder: "falcon-mamba", goldens: "falcon-mamba"),
    GoldenModel(folder: "rwkv4", goldens: "rwkv4"),
    GoldenModel(folder: "rwkv6", goldens: "rwkv6"),
    GoldenModel(folder: "rwkv7", goldens: "rwkv7"),
    GoldenModel(folder: "rwkv7-bf16-head64", goldens: "rwkv7-bf16-head64"),
    GoldenModel(folder: "rwkv7-hf", goldens: "rwkv7-bf16-head64"),
    GoldenModel(folder: "xlstm", goldens: "xlstm"),
    GoldenModel(folder: "xlstm-half", goldens: "xlstm-half"),
    GoldenModel(folder: "lstm", goldens: "lstm"),
    GoldenModel(folder: "retnet", goldens: "retnet"),
    GoldenModel(folder: "gla", goldens: "gla"),
    GoldenModel(folder: "hgrn2", goldens: "hgrn2"),
    GoldenModel(folder: "delta-net", goldens: "delta-net"),
    GoldenModel(folder: "gated-deltanet", goldens: "gated-deltanet"),
    GoldenModel(folder: "mamba3", goldens: "mamba3"),
    GoldenModel(folder: "mamba3-groups", goldens: "mamba3-groups"),
    GoldenModel(folder: "mamba3-mimo", goldens: "mamba3-mimo"),
    GoldenModel(folder: "mamba3-mimo-norm", goldens: "mamba3-mimo-norm"),
    GoldenModel(folder: "lfm2", goldens: "lfm2"),
    GoldenModel(folder: "bamba", goldens: "bamba"),
    GoldenModel(folder: "jamba", goldens: "jamba"),
    GoldenModel(folder: "granite-moe-hybrid", goldens: "granite-moe-hybrid"),
    GoldenModel(folder: "granite-hybrid-dense", goldens: "granite-hybrid-dense"),
    GoldenModel(folder: "nemotron-h", goldens: "nemotron-h"),
    GoldenModel(folder: "nemotron-h-moe", goldens: "nemotron-h-moe"),
    GoldenModel(folder: "falcon-h1", goldens: "falcon-h1"),
    GoldenModel(folder: "zamba2", goldens: "zamba2"),
    GoldenModel(folder: "qwen3-next", goldens: "qwen3-next"),
    GoldenModel(folder: "qwen3.5-text", goldens: "qwen3.5-text"),
    GoldenModel(folder: "olmo-hybrid", goldens: "olmo-hybrid"),
    GoldenModel(folder: "kimi-linear", goldens: "kimi-linear"),
    GoldenModel(folder: "minimax", goldens: "minimax"),
    GoldenModel(folder: "recurrent-gemma", goldens: "recurrent-gemma"),
    GoldenModel(folder: "llama-gqa", goldens: "llama-gqa"),
    GoldenModel(folder: "llama-rope-scaled-f16-sharded", goldens: "llama-rope-scaled-f16-sharded"),
    GoldenModel(folder: "qwen2-bias", goldens: "qwen2-bias"),
    GoldenModel(folder: "qwen3-qknorm", goldens: "qwen3-qknorm"),
    GoldenModel(folder: "mistral-window", goldens: "mistral-window"),
  ]

  var files: ModelFiles { Fixture.model(folder) }
  func golden() throws -> Golden { try Golden(goldens) }
  /// Whether the reference computed short inputs, too.
  var hasShortInputs: Bool { ModelFiles(folder: Fixture.path(goldens)).fileNames.contains("golden_short.safetensors") }
}
