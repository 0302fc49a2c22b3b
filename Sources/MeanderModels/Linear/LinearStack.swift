import MeanderErrors
import MeanderFiles
import MeanderKernels

/// What the models of flash-linear-attention (Yang and Zhang 2024) have in common: their configuration's keys, and layers of a
/// mixer and a gated feed-forward, each with a norm before it.
struct LinearStack: Sendable {
  let shape: LanguageShape
  /// Between the feed-forward's projections.
  let inner: Int
  let epsilon: Float
  let isTied: Bool

  /// Reads what all of them say; attention among the layers is refused.
  ///
  /// - Parameters:
  ///   - layers, ratio: what the absence of `num_hidden_layers` and `hidden_ratio` means.
  ///   - hasConvolution: whether the mixer's projections go through short convolutions; the other is refused.
  init(_ configuration: inout Configuration, layers: Int = 24, ratio: Double = 4, hasConvolution: Bool = false) throws {
    let width = try configuration.integer("hidden_size", 2048, in: 1...1 << 20)
    let ratio = try configuration.float("hidden_ratio", ratio, in: 0.01...64)
    // Two thirds of it, for a gate takes the rest, and up to a multiple of 256.
    let rounded = (Int(Double(width) * ratio * 2 / 3) + 255) / 256 * 256
    inner = try configuration.integer("intermediate_size", max(256, rounded), in: 1...1 << 22)
    epsilon = Float(try configuration.float("norm_eps", 1e-6, in: 0...1))
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", layers, in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", 32000, in: 1...1 << 24), intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    _ = try configuration.optionalString("hidden_act", among: ["silu", "swish"])
    try configuration.require("use_short_conv", hasConvolution)
    try configuration.require("elementwise_affine", true)
    guard !configuration.has("attn") else { throw configuration.failure("attn", "can only be left out here") }
    configuration.ignore(
      HuggingFaceKeys.withoutMeaning + [
        "attn", "attn_mode", "fuse_cross_entropy", "fuse_linear_cross_entropy", "fuse_norm", "fuse_swiglu",
        "max_position_embeddings", "use_l2warp",
      ])
  }

  var arithmetic: String {
    "layers \(shape.layers) width \(shape.width) inner \(inner) epsilon \(epsilon) tied \(isTied)"
  }

  /// Layers whose mixers `mixer` builds of the tensors called `prefix`… .
  func build(
    from reader: WeightReader, _ mixer: (_ layer: Int, _ prefix: String) throws -> any Mixer
  ) throws -> Blocks {
    let (width, rows) = (shape.width, shape.vocabulary)
    func norm(_ name: String) throws -> Norm { try reader.rootMeanSquareNorm(name, width: width, epsilon: epsilon) }
    let embedding = try reader.weight("model.embeddings.weight", outputs: rows, inner: width)
    let steps = try (0..<shape.layers).flatMap { layer in
      let prefix = "model.layers.\(layer)."
      let feed = try FeedForwardMixer(
        .init(width: width, inner: inner, activation: .silu),
        .init(gate: prefix + "mlp.gate_proj", up: prefix + "mlp.up_proj", down: prefix + "mlp.down_proj"), from: reader)
      return [
        Block(layer: layer, norm: try norm(prefix + "attn_norm.weight"), mixer: try mixer(layer, prefix + "attn.")),
        Block(layer: layer, norm: try norm(prefix + "mlp_norm.weight"), mixer: feed),
      ]
    }
    if isTied { reader.ignore("lm_head.weight", shape: [rows, width]) }
    let head = isTied ? embedding : try reader.weight("lm_head.weight", outputs: rows, inner: width)
    return Blocks(embedding: embedding, steps: steps, finalNorm: try norm("model.norm.weight"), head: OutputHead(head))
  }
}

/// An architecture that is a `LinearStack`.
protocol LinearArchitecture: Architecture {
  var stack: LinearStack { get }
}

extension LinearArchitecture {
  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }
  package var shape: LanguageShape { stack.shape }

  /// Projections as in any stack; rates and time steps, where there are any, as Mamba-2's begin.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    StackInitialization(layers: shape.layers, outputs: ["o_proj.weight", "down_proj.weight"]).values(
      of: entry, using: &generator
    ) { name, draw in
      name == "model.lower_bounds"
        ? draw { _ in 0 } : StackInitialization.recurrentValues(of: entry, name, options, draw)
    }
  }
}

extension Configuration {
  /// What a layer's keys or values make up together: the model's width times the factor under `key`, shared out over `heads`.
  mutating func expanded(_ key: String, _ fallback: Double, width: Int, heads: Int) throws -> Int {
    let all = Int((Double(width) * (try float(key, fallback, in: 0.001...64))).rounded())
    guard all > 0, all % heads == 0 else { throw failure("num_heads", "is \(heads), which \(all) places of \(key) cannot be shared by") }
    return all
  }

  /// Keys of heads are the heads' own.
  mutating func requireOwnKeys(heads: Int) throws {
    try require("num_kv_heads", heads, whenGiven: true)
    guard !has("feature_map") else { throw failure("feature_map", "can only be left out here") }
    ignore(["num_kv_heads", "feature_map"])
  }
}
