import MeanderFiles

/// Llama (Touvron and others 2023) and what was published in its layout.
package struct Llama: TransformerArchitecture {
  package static let name = "llama"
  package let transformer: Transformer

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(&configuration)
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    transformer.feedForward.hasBias = try configuration.bool("mlp_bias", false)
    self.transformer = transformer
  }
}
