import MeanderFiles

/// Qwen 3 (Yang and others 2025): a norm on each head's queries and keys in the place of Qwen 2's biases.
package struct Qwen3: TransformerArchitecture {
  package static let name = "qwen3"
  package let transformer: Transformer

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 22016, keyHeads: 32, vocabulary: 151_936, positions: 32768, headWidth: 128))
    transformer.attention.headNorm = transformer.epsilon
    let hasBias = try configuration.bool("attention_bias", false)
    (transformer.attention.hasInputBias, transformer.attention.hasOutputBias) = (hasBias, hasBias)
    try transformer.readWindows(&configuration)
    self.transformer = transformer
  }
}
