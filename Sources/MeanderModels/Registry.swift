import MeanderErrors
import MeanderFiles
import Synchronization

/// Every architecture and every mitigation that Meander knows.
package enum Registry {
  private static let own: [any Architecture.Type] = [
    Mamba2.self,
    Mamba1.self,
    FalconMamba.self,
    RWKV4.self,
    RWKV6.self,
    RWKV7.self,
    ExtendedLSTM.self,
    LFM2.self,
    Bamba.self,
    Jamba.self,
    GraniteHybrid.self,
    NemotronH.self,
    FalconH1.self,
    Zamba2.self,
    Qwen3Next.self,
    Qwen35Text.self,
    OlmoHybrid.self,
    KimiLinear.self,
    MiniMax.self,
    RecurrentGemma.self,
    HyenaModal.self,
    RetNet.self,
    GatedLinearAttention.self,
    HGRN2.self,
    DeltaNet.self,
    GatedDeltaNet.self,
    Mamba3.self,
    LongShortTermMemory.self,
    Llama.self,
    Mistral.self,
    Qwen2.self,
    Qwen3.self,
  ]

  /// What programs added, each once.
  private static let added = Mutex<[any Architecture.Type]>([])

  /// Architectures of other targets, which a program that imports one adds, and what it has to import.
  private static let elsewhere = ["hyena": "MeanderLongConvolution"]

  /// Adds an architecture of another target; one that is there already is not added again.
  package static func add(_ architecture: any Architecture.Type) {
    added.withLock { added in
      if !added.contains(where: { $0 == architecture }) { added.append(architecture) }
    }
  }

  /// Every architecture that this program knows.
  package static var architectures: [any Architecture.Type] { own + added.withLock { $0 } }

  /// Every architecture that GGUF files are read of, by their names for things: one file and one line here.
  package static let ggufArchitectures: [GGUFArchitecture] = [
    .mamba2,
    .mamba,
    .rwkv6,
    .rwkv7,
    .lfm2,
    .jamba,
    .graniteHybrid,
    .nemotronH,
    .nemotronHExperts,
    .falconH1,
    .qwen3Next,
    .llama,
    .qwen2,
    .qwen3,
  ]

  /// Every mitigation: one file and one line here.
  package static let mitigations: [any MitigationMethod.Type] = [
    RetentionInsertion.self,
    TimeStepScale.self,
    RateScale.self,
    TokenFilter.self,
    StateNorm.self,
    Window.self,
    Reset.self,
    Automatic.self,
  ]

  /// The configuration of weights that come without one; nil where no architecture knows them.
  package static func configuration(of store: TensorStore) -> JSON? {
    let shapes = store.entries.mapValues(\.shape)
    return architectures.lazy.compactMap { $0.configuration(of: shapes) }.first
  }

  /// The architecture that `configuration` describes. Throws `.unsupported`, naming what it says and what
  /// is known, and `.badData` where it says nothing.
  static func architecture(for configuration: JSON, file: String) throws -> any Architecture.Type {
    if let found = architectures.first(where: { $0.recognizes(configuration) }) { return found }
    let said = configuration["model_type"]?.string ?? configuration["architectures"]?.array?.first?.string
    let known = "Known: \(architectures.map { $0.name }.joined(separator: ", "))."
    guard let said else {
      throw MeanderError(.badData, "no architecture is named by model_type", at: file, remedy: known)
    }
    if let target = elsewhere[said] {
      throw MeanderError(
        .unsupported, "the architecture \"\(said)\" needs \(target), which this program was built without", at: file,
        remedy: "Build the command with the trait FFTW; a program imports \(target) and calls LongConvolution.register().")
    }
    throw MeanderError(.unsupported, "the architecture \"\(said)\" is not known", at: file, remedy: known)
  }
}
