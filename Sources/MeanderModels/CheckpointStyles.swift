import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Keys of Hugging Face configurations that say nothing about how a model is run.
enum HuggingFaceKeys {
  static let withoutMeaning = [
    "architectures", "model_type", "dtype", "torch_dtype", "transformers_version", "use_cache", "bos_token_id",
    "eos_token_id", "pad_token_id", "residual_in_fp32", "initializer_range", "auto_map", "_name_or_path",
    "output_hidden_states", "output_attentions", "return_dict", "name_or_path",
  ]
  static let mambaTraining = [
    "rescale_prenorm_residual", "time_step_floor", "time_step_max", "time_step_min", "time_step_scale",
    "time_step_init_scheme", "use_associative_scan", "use_mambapy", "fused_add_norm", "time_step_rank",
  ]
}

/// An architecture whose checkpoints come in Hugging Face's layout and in the original one of state-spaces.
package protocol ArchitectureInTwoLayouts: Architecture {
  init(huggingFace configuration: inout Configuration) throws
  init(original configuration: inout Configuration) throws
}

extension ArchitectureInTwoLayouts {
  package init(_ configuration: inout Configuration) throws {
    if configuration.has("ssm_cfg") {
      try self.init(original: &configuration)
    } else {
      try self.init(huggingFace: &configuration)
    }
  }
}

extension LanguageShape {
  /// The thin configuration of the original checkpoints, but for its `ssm_cfg`: the shape, and whether the
  /// head is tied.
  static func original(_ configuration: inout Configuration, width: Int) throws -> (LanguageShape, Bool) {
    let vocabulary = try configuration.integer("vocab_size", in: 1...1 << 24)
    let multiple = try configuration.integer("pad_vocab_size_multiple", 8, in: 1...1 << 16)
    let shape = LanguageShape(
      width: width, layers: try configuration.integer("n_layer", in: 1...1 << 16),
      vocabulary: (vocabulary + multiple - 1) / multiple * multiple, intent: try ModelIntent(&configuration))
    try configuration.require("rms_norm", true)
    try configuration.require("d_intermediate", 0)
    try configuration.requireEmpty("attn_layer_idx")
    configuration.ignore(["attn_cfg", "residual_in_fp32", "fused_add_norm"])
    return (shape, try configuration.bool("tie_embeddings", true))
  }
}

extension WeightReader {
  /// The Mamba family's checkpoint: `backbone.` with an embedding, layers of norm and mixer, and a final
  /// norm; then the head.
  ///
  /// - Parameters:
  ///   - embedding: what the embedding is called: `embedding` in the original layout, `embeddings` in Hugging
  ///     Face's.
  ///   - isTied: whether the embedding makes the logits, too; the file may hold a copy of it then.
  ///   - inner: the width of a gated feed-forward behind each mixer; none where it is zero.
  ///   - mixer: builds a layer's mixer, whose tensors' names begin with what it is given.
  func backbone(
    _ shape: LanguageShape, embedding name: String, isTied: Bool, epsilon: Float, inner: Int = 0,
    mixer: (_ prefix: String) throws -> any Mixer
  ) throws -> Blocks {
    let (rows, width) = (shape.vocabulary, shape.width)
    let embedding = try weight("backbone.\(name).weight", outputs: rows, inner: width)
    let steps = try (0..<shape.layers).flatMap { layer in
      let prefix = "backbone.layers.\(layer)."
      func norm(_ name: String) throws -> Norm {
        try rootMeanSquareNorm(prefix + name + ".weight", width: width, epsilon: epsilon)
      }
      let mixing = Block(layer: layer, norm: try norm("norm"), mixer: try mixer(prefix + "mixer."))
      guard inner > 0 else { return [mixing] }
      let feed = try FeedForwardMixer(
        .init(width: width, inner: inner, activation: .silu),
        .init(gate: prefix + "mlp.gate_proj", up: prefix + "mlp.up_proj", down: prefix + "mlp.down_proj"), from: self)
      return [mixing, Block(layer: layer, norm: try norm("norm2"), mixer: feed)]
    }
    if isTied { ignore("lm_head.weight", shape: [rows, width]) }
    let head = isTied ? embedding : try weight("lm_head.weight", outputs: rows, inner: width)
    return Blocks(
      embedding: embedding, steps: steps,
      finalNorm: try rootMeanSquareNorm("backbone.norm_f.weight", width: width, epsilon: epsilon), head: OutputHead(head))
  }
}

extension Configuration {
  /// The value of `key` must be `expected`, which is also what its absence means.
  mutating func require(_ key: String, _ expected: Bool) throws {
    guard try bool(key, expected) == expected else { throw failure(key, "can only be \(expected) here") }
  }

  /// With `whenGiven`, it is the caller's business what absence means.
  mutating func require(_ key: String, _ expected: Int, whenGiven: Bool = false) throws {
    if whenGiven && !has(key) { return }
    guard try integer(key, expected, in: Int.min...Int.max) == expected else {
      throw failure(key, "can only be \(expected) here")
    }
  }

  /// The list under `key` must be empty or absent.
  mutating func requireEmpty(_ key: String) throws {
    guard try integers(key, [], in: Int.min...Int.max).isEmpty else { throw failure(key, "can only be empty here") }
  }

  /// The bounds of the time step, the lower one first; none when the key is absent.
  mutating func timeStepLimit(_ key: String) throws -> ClosedRange<Float> {
    let bounds = try floats(key, [0, .infinity], count: 2).map { Float($0) }
    guard bounds[0] <= bounds[1] else { throw failure(key, "must name the lower bound first") }
    return bounds[0]...bounds[1]
  }

  /// R, a number or "auto": a sixteenth of the model's width, rounded up.
  mutating func timeStepRank(_ key: String, width: Int) throws -> Int {
    if value(key)?.string == "auto" { return (width + 15) / 16 }
    return try integer(key, (width + 15) / 16, in: 1...1 << 20)
  }
}
