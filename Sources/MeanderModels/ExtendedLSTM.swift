import MeanderErrors
import MeanderFiles
import MeanderKernels

/// xLSTM language models of mLSTM layers (Beck and others 2025), in the layout of Hugging Face.
package struct ExtendedLSTM: Architecture {
  package static let name = "xlstm"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == "xlstm" }

  package let shape: LanguageShape
  let mixer: MatrixMemoryMixer.Sizes
  let inner: Int
  let epsilon: Float
  let logitCap: Float
  let hasOutputNorm: Bool
  let isTied: Bool

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    // The factor is cut to a whole number of keys.
    let keys = (Double(shape.heads() * shape.stateSize) + 0.25) / Double(shape.width)
    return shape.members(name) + [
      ("num_heads", JSON(shape.heads())), ("qk_dim_factor", JSON(keys)), ("v_dim_factor", JSON(1)),
      ("ffn_proj_factor", JSON(2)), ("ffn_round_up_to_multiple_of", JSON(16)), ("tie_word_embeddings", .bool(true)),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", 4096, in: 1...1 << 20)
    let layers = try configuration.integer("num_hidden_layers", 32, in: 1...1 << 16)
    try configuration.require("embedding_dim", width, whenGiven: true)
    try configuration.require("num_blocks", layers, whenGiven: true)
    try configuration.require("use_bias", false)
    guard try configuration.string("weight_mode", "single") == "single" else {
      throw configuration.failure("weight_mode", "can only be single here")
    }
    epsilon = Float(try configuration.float("norm_eps", 1e-6, in: 0...1))
    let heads = try configuration.integer("num_heads", 8, in: 1...1 << 16)
    let keys = Int(Double(width) * (try configuration.float("qk_dim_factor", 0.5, in: 0.001...16)))
    let values = Int(Double(width) * (try configuration.float("v_dim_factor", 1, in: 0.001...16)))
    guard keys > 0, keys % heads == 0 else { throw configuration.failure("num_heads", "does not divide \(keys) keys") }
    guard values > 0, values % heads == 0 else { throw configuration.failure("num_heads", "does not divide \(values) values") }
    mixer = MatrixMemoryMixer.Sizes(
      width: width, heads: heads, keys: keys, values: values,
      gateCap: Float(try configuration.float("gate_soft_cap", 15, in: 1e-3...1e6)), epsilon: epsilon,
      stabilityEpsilon: Float(try configuration.float("eps", 1e-6, in: 0...1)))
    let multiple = try configuration.integer("ffn_round_up_to_multiple_of", 64, in: 1...1 << 16)
    let raw = Double(width) * (try configuration.float("ffn_proj_factor", 2.667, in: 0.001...64))
    inner = Int((raw + Double(multiple) - 1) / Double(multiple)) * multiple
    logitCap = Float(try configuration.float("output_logit_soft_cap", 30, in: 1e-3...1e6))
    hasOutputNorm = try configuration.bool("add_out_norm", true)
    guard hasOutputNorm else { throw configuration.failure("add_out_norm", "can only be true here") }
    shape = LanguageShape(
      width: width, layers: layers, vocabulary: try configuration.integer("vocab_size", 50304, in: 1...1 << 24),
      intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    configuration.ignore(
      HuggingFaceKeys.withoutMeaning + [
        "autocast_kernel_dtype", "chunk_size", "chunkwise_kernel", "inference_state_dtype", "max_inference_chunksize", "mode",
        "norm_reduction_force_float32", "return_last_states", "sequence_kernel", "step_kernel",
      ])
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(shape.width) heads \(mixer.heads) keys \(mixer.keys) values \(mixer.values) \
    caps \(mixer.gateCap) \(logitCap) inner \(inner) epsilon \(epsilon) \(mixer.stabilityEpsilon) tied \(isTied)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let width = shape.width
    let embedding = try reader.weight("backbone.embeddings.weight", outputs: shape.vocabulary, inner: width)
    let steps = try (0..<shape.layers).flatMap { layer in
      let prefix = "backbone.blocks.\(layer)."
      let feed = try FeedForwardMixer(
        .init(width: width, inner: inner, activation: .silu),
        .init(gate: prefix + "ffn.proj_up_gate", up: prefix + "ffn.proj_up", down: prefix + "ffn.proj_down"), from: reader)
      let memory = try MatrixMemoryMixer(mixer, prefix: prefix + "mlstm_layer.", from: reader)
      func norm(_ name: String) throws -> Norm {
        try reader.rootMeanSquareNorm(prefix + name + ".weight", width: width, epsilon: epsilon)
      }
      return [
        Block(layer: layer, norm: try norm("norm_mlstm"), mixer: memory),
        Block(layer: layer, norm: try norm("norm_ffn"), mixer: feed),
      ]
    }
    if isTied { reader.ignore("lm_head.weight", shape: [shape.vocabulary, width]) }
    let head = isTied ? embedding : try reader.weight("lm_head.weight", outputs: shape.vocabulary, inner: width)
    return Blocks(
      embedding: embedding, steps: steps,
      finalNorm: try reader.rootMeanSquareNorm("backbone.out_norm.weight", width: width, epsilon: epsilon),
      head: OutputHead(head, cap: logitCap))
  }

  /// Input gates begin nearly shut and forget gates open, from little to much over the heads.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    let count = entry.count
    return StackInitialization(layers: shape.layers, outputs: ["out_proj.weight", "proj_down.weight"]).values(
      of: entry, using: &generator
    ) { name, draw in
      switch name {
      case "igate_preact.bias": [Float](repeating: -10, count: count)
      case "fgate_preact.bias": (0..<count).map { 3 + 3 * Float($0) / Float(max(1, count - 1)) }
      case "igate_preact.weight", "fgate_preact.weight": draw { _ in 0 }
      default: nil
      }
    }
  }
}
