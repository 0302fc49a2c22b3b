import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RWKV-4 language models (Peng and others 2023), in the layout of Hugging Face.
package struct RWKV4: Architecture {
  package static let name = "rwkv"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == "rwkv" }

  package let shape: LanguageShape
  /// The width of the time mixing's keys and values.
  let attention: Int
  let inner: Int
  let epsilon: Float
  let isTied: Bool

  package init(_ configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", 4096, in: 1...1 << 20)
    attention = try configuration.integer("attention_hidden_size", width, in: 1...1 << 20)
    inner = try configuration.integer("intermediate_size", 4 * width, in: 1...1 << 22)
    epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", 32, in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", 50277, in: 1...1 << 24), intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    // Rescaling halves what half precision could not hold, and gives it back: nothing here needs it.
    configuration.ignore(HuggingFaceKeys.withoutMeaning + ["context_length", "rescale_every"])
  }

  package var arithmetic: String {
    "layers \(shape.layers) width \(shape.width) keys \(attention) inner \(inner) epsilon \(epsilon) tied \(isTied)"
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let width = shape.width
    let embedding = try reader.weight("rwkv.embeddings.weight", outputs: shape.vocabulary, inner: width)
    func norm(_ name: String, _ epsilon: Float) throws -> Norm {
      try reader.layerNorm("rwkv." + name + ".", width: width, epsilon: epsilon)
    }
    let embeddingNorm = try norm("blocks.0.pre_ln", epsilon)
    let steps = try (0..<shape.layers).flatMap { layer in
      let prefix = "rwkv.blocks.\(layer)."
      let feed = prefix + "feed_forward."
      let channel = RWKVChannelMixer(
        width: width, inner: inner, keyMix: try reader.mixRow(feed + "time_mix_key", count: width),
        key: try reader.weight(feed + "key.weight", outputs: inner, inner: width),
        value: try reader.weight(feed + "value.weight", outputs: width, inner: inner),
        receptanceMix: try reader.mixRow(feed + "time_mix_receptance", count: width),
        receptance: try reader.weight(feed + "receptance.weight", outputs: width, inner: width), keepsShare: true)
      let time = try RWKV4TimeMixer(width: width, inner: attention, prefix: prefix + "attention.", from: reader)
      return [
        Block(layer: layer, norm: try norm("blocks.\(layer).ln1", epsilon), mixer: time),
        Block(layer: layer, norm: try norm("blocks.\(layer).ln2", epsilon), mixer: channel),
      ]
    }
    if isTied { reader.ignore("head.weight", shape: [shape.vocabulary, width]) }
    return Blocks(
      embedding: embedding, embeddingNorm: embeddingNorm, steps: steps, finalNorm: try norm("ln_out", 1e-5),
      head: OutputHead(isTied ? embedding : try reader.weight("head.weight", outputs: shape.vocabulary, inner: width)))
  }

  /// As the authors begin, roughly: decays from slow to fast over the channels, mixing spread over them.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    let count = entry.count
    return StackInitialization(layers: shape.layers, outputs: ["output.weight", "feed_forward.value.weight"]).values(
      of: entry, using: &generator
    ) { name, _ in
      let ramp = (0..<count).map { Float($0) / Float(max(1, count - 1)) }
      switch name {
      case "time_decay": return ramp.map { -5 + 8 * $0 }
      case "time_first": return (0..<count).map { Float(log(0.3)) + 0.5 * Float(($0 + 1) % 3 - 1) }
      case let mix where mix.hasPrefix("time_mix"): return ramp
      default: return nil
      }
    }
  }
}
