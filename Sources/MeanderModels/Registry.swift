import MeanderErrors
import MeanderFiles

/// Every architecture and every mitigation that Meander knows.
package enum Registry {
  package static let architectures: [any Architecture.Type] = [
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
    LongShortTermMemory.self,
    Llama.self,
    Mistral.self,
    Qwen2.self,
    Qwen3.self,
  ]

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
    throw MeanderError(.unsupported, "the architecture \"\(said)\" is not known", at: file, remedy: known)
  }
}
