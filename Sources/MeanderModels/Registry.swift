import MeanderErrors
import MeanderFiles

/// Every architecture and every mitigation that Meander knows.
package enum Registry {
  package static let architectures: [any Architecture.Type] = [
    Mamba2.self,
    Mamba1.self,
    LongShortTermMemory.self,
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

  /// The architecture that `configuration` describes. Throws `.unsupported`, naming what it says and what is known.
  static func architecture(for configuration: JSON, file: String) throws -> any Architecture.Type {
    if let found = architectures.first(where: { $0.recognizes(configuration) }) { return found }
    let said = configuration["model_type"]?.string ?? configuration["architectures"]?.array?.first?.string
    throw MeanderError(
      .unsupported, said.map { "the architecture \"\($0)\" is not known" } ?? "no architecture is named", at: file,
      remedy: "Known: \(architectures.map { $0.name }.joined(separator: ", ")).")
  }
}
