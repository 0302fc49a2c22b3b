import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Mamba-3 language models (Lahoti and others 2026), of single or of several inputs and outputs. The mixer's tensors are those of
/// state-spaces; the configuration, whose `model_type` is `mamba3`, has the keys of Mamba-2's.
package struct Mamba3: Architecture {
  package static let name = "mamba3"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }

  package let shape: LanguageShape
  let mixer: Mamba3Mixer.Sizes
  /// Of the feed-forwards behind the mixers; 0 for none.
  let inner: Int
  let epsilon: Float
  let isTied: Bool

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.members(name) + [
      ("state_size", JSON(shape.stateSize)), ("head_dim", JSON(shape.headWidth)), ("intermediate_size", JSON(2 * shape.width)),
      ("tie_word_embeddings", .bool(true)),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", in: 1...1 << 20)
    let expansion = try configuration.integer("expand", 2, in: 1...64)
    let headWidth = try configuration.integer("head_dim", 64, in: 1...1 << 16)
    let heads = try configuration.integer("num_heads", expansion * width / headWidth, in: 1...1 << 20)
    let groups = try configuration.integer("n_groups", 1, in: 1...1 << 16)
    let size = try configuration.integer("state_size", 128, in: 1...1 << 16)
    guard heads * headWidth == expansion * width else {
      throw configuration.failure(
        "head_dim", "is \(headWidth), and \(heads) such heads do not make the expanded width \(expansion * width)")
    }
    guard heads % groups == 0 else {
      throw configuration.failure("n_groups", "is \(groups), which \(heads) heads cannot share")
    }
    let fraction = try configuration.float("rope_fraction", 0.5, in: 0...1)
    guard fraction == 0.5 || fraction == 1, Int(Double(size) * fraction) / 2 > 0 else {
      throw configuration.failure("rope_fraction", "must be 0.5 or 1, and leave at least one pair of \(size) places to turn")
    }
    let rank = try configuration.integer("mimo_rank", 4, in: 1...1 << 10)
    let isMultiple = try configuration.bool("is_mimo", false)
    guard !isMultiple || size % 2 == 0 else {
      throw configuration.failure("state_size", "is \(size), an odd number, and has no halves to turn")
    }
    epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    mixer = Mamba3Mixer.Sizes(
      width: width, heads: heads, headWidth: headWidth, stateSize: size, groups: groups,
      angles: Int(Double(size) * fraction) / 2,
      lowestRate: Float(try configuration.float("a_floor", 1e-4, in: 0...1e3)),
      rateIsSoftplus: try configuration.string("a_activation", "heavy_tail", among: ["heavy_tail", "softplus"]) == "softplus",
      hasNorm: try configuration.bool("is_outproj_norm", false), slices: isMultiple ? rank : nil)
    inner = try configuration.integer("intermediate_size", 0, in: 0...1 << 22)
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", in: 1...1 << 24), intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    _ = try configuration.optionalString("hidden_act", among: ["silu", "swish"])
    configuration.ignore(HuggingFaceKeys.withoutMeaning + ["chunk_size", "rms_norm"])
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(mixer.width) heads \(mixer.heads) head \(mixer.headWidth) state \(mixer.stateSize) groups \
    \(mixer.groups) angles \(mixer.angles) rate \(mixer.lowestRate) \(mixer.rateIsSoftplus) norm \(mixer.hasNorm) inner \(inner) \
    epsilon \(epsilon) tied \(isTied)\(mixer.slices.map { " slices \($0)" } ?? "")
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try reader.backbone(shape, embedding: "embedding", isTied: isTied, epsilon: epsilon, inner: inner) {
      try Mamba3Mixer(mixer, prefix: $0, from: reader)
    }
  }

  /// As the reference begins: biases of B and C and the skip at one, time steps drawn for the range that the options name; x goes to
  /// all slices in equal shares, z whole, and their outputs are averaged.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    StackInitialization(layers: shape.layers, outputs: ["out_proj.weight", "down_proj.weight"]).values(
      of: entry, using: &generator
    ) { name, draw in
      switch name {
      case "B_bias", "C_bias", "mimo_z": [Float](repeating: 1, count: entry.count)
      case "mimo_x", "mimo_o": [Float](repeating: 1 / Float(mixer.rank), count: entry.count)
      default: StackInitialization.recurrentValues(of: entry, name, options, draw)
      }
    }
  }
}
