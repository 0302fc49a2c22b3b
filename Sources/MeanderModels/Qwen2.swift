import MeanderFiles

/// Qwen 2 (Yang and others 2024): Llama with biases on queries, keys and values.
package struct Qwen2: TransformerArchitecture {
  package static let name = "qwen2"
  package let transformer: Transformer

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 22016, keyHeads: 32, vocabulary: 151_936, positions: 32768))
    transformer.attention.hasInputBias = true
    try transformer.readWindows(&configuration)
    self.transformer = transformer
  }
}
