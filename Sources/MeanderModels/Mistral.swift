import MeanderFiles

/// Mistral (Jiang and others 2023): Llama with a sliding window in every layer.
package struct Mistral: TransformerArchitecture {
  package static let name = "mistral"
  package let transformer: Transformer

  package init(_ configuration: inout Configuration) throws {
    var transformer = try Transformer(
      &configuration, .init(inner: 14336, keyHeads: 8, positions: 131_072))
    // Left out it is 4096, and null stands for none.
    let isNamed = configuration.keys.contains("sliding_window")
    let window = try configuration.optionalInteger("sliding_window", in: 1...1 << 40) ?? (isNamed ? nil : 4096)
    transformer.windows = Array(repeating: window, count: transformer.shape.layers)
    configuration.ignore(["layer_types"])
    self.transformer = transformer
  }
}
