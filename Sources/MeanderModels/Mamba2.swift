import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Mamba-2 language models (Dao and Gu 2024), in the layout of Hugging Face and in the original one of
/// state-spaces.
package struct Mamba2: ArchitectureInTwoLayouts {
  package static let name = "mamba2"

  package static func recognizes(_ configuration: JSON) -> Bool {
    if let type = configuration["model_type"]?.string { return type == "mamba2" }
    return configuration["ssm_cfg"]?["layer"]?.string == "Mamba2"
  }

  package let shape: LanguageShape
  let mixer: Mamba2Mixer.Sizes
  let epsilon: Float
  let isTied: Bool
  /// The original layout names the embedding in the singular.
  let embeddingName: String

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    [
      ("model_type", .string(name)), ("architectures", JSON(["Mamba2ForCausalLM"])), ("vocab_size", JSON(256)),
      ("hidden_size", JSON(shape.width)), ("num_hidden_layers", JSON(shape.layers)), ("state_size", JSON(shape.stateSize)),
      ("num_heads", JSON(shape.heads(times: 2))), ("head_dim", JSON(shape.headWidth)), ("expand", JSON(2)),
      ("n_groups", JSON(1)), ("conv_kernel", JSON(4)), ("chunk_size", JSON(64)), ("layer_norm_epsilon", JSON(1e-5)),
      ("use_bias", .bool(false)), ("use_conv_bias", .bool(true)), ("hidden_act", .string("silu")),
      ("rms_norm", .bool(true)), ("residual_in_fp32", .bool(true)), ("tie_word_embeddings", .bool(true)),
    ]
  }

  package init(huggingFace configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", 4096, in: 1...1 << 20)
    let expansion = try configuration.integer("expand", 2, in: 1...64)
    let headWidth = try configuration.integer("head_dim", 64, in: 1...1 << 16)
    let heads = try configuration.integer("num_heads", expansion * width / headWidth, in: 1...1 << 20)
    let groups = try configuration.integer("n_groups", 8, in: 1...1 << 16)
    epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    mixer = Mamba2Mixer.Sizes(
      width: width, heads: heads, headWidth: headWidth,
      stateSize: try configuration.integer("state_size", 128, in: 1...1 << 16), groups: groups,
      convolutionWidth: try configuration.integer("conv_kernel", 4, in: 1...64), epsilon: epsilon,
      timeStepLimit: try configuration.timeStepLimit("time_step_limit"),
      hasProjectionBias: try configuration.bool("use_bias", false),
      hasConvolutionBias: try configuration.bool("use_conv_bias", true))
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", 64, in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", 32768, in: 1...1 << 24),
      intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    embeddingName = "embeddings"
    _ = try configuration.optionalString("hidden_act", among: ["silu", "swish"])
    configuration.ignore(
      HuggingFaceKeys.withoutMeaning + HuggingFaceKeys.mambaTraining + ["chunk_size", "rms_norm", "norm_before_gate"])
    try check(inner: expansion * width, configuration)
  }

  package init(original configuration: inout Configuration) throws {
    let width = try configuration.integer("d_model", in: 1...1 << 20)
    guard var layer = try configuration.object("ssm_cfg") else { throw configuration.failure("ssm_cfg", "is missing") }
    let expansion = try layer.integer("expand", 2, in: 1...64)
    let headWidth = try layer.integer("headdim", 64, in: 1...1 << 16)
    epsilon = 1e-5
    mixer = Mamba2Mixer.Sizes(
      width: width, heads: expansion * width / headWidth, headWidth: headWidth,
      stateSize: try layer.integer("d_state", 128, in: 1...1 << 16),
      groups: try layer.integer("ngroups", 1, in: 1...1 << 16),
      convolutionWidth: try layer.integer("d_conv", 4, in: 1...64), epsilon: epsilon,
      timeStepLimit: try layer.timeStepLimit("dt_limit"),
      hasProjectionBias: try layer.bool("bias", false), hasConvolutionBias: try layer.bool("conv_bias", true))
    try layer.require("rmsnorm", true)
    try layer.require("norm_before_gate", false)
    try layer.require("D_has_hdim", false)
    layer.ignore([
      "layer", "chunk_size", "use_mem_eff_path", "dt_min", "dt_max", "dt_init_floor", "A_init_range", "conv_init",
    ])
    try layer.finish()
    (shape, isTied) = try LanguageShape.original(&configuration, width: width)
    embeddingName = "embedding"
    try check(inner: expansion * width, configuration)
  }

  private func check(inner: Int, _ configuration: Configuration) throws {
    guard mixer.heads * mixer.headWidth == inner else {
      throw configuration.failure(
        "head_dim", "is \(mixer.headWidth), and \(mixer.heads) such heads do not make the expanded width \(inner)")
    }
    guard mixer.heads.isMultiple(of: mixer.groups) else {
      throw configuration.failure("n_groups", "is \(mixer.groups), which \(mixer.heads) heads cannot share")
    }
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(mixer.width) heads \(mixer.heads) head \(mixer.headWidth) state \(mixer.stateSize) \
    groups \(mixer.groups) convolution \(mixer.convolutionWidth) epsilon \(epsilon) gated \(mixer.epsilon) \
    step \(mixer.timeStepLimit.lowerBound) \(mixer.timeStepLimit.upperBound) bias \(mixer.hasProjectionBias) \
    \(mixer.hasConvolutionBias) tied \(isTied)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try reader.backbone(shape, embedding: embeddingName, isTied: isTied, epsilon: epsilon) {
      try Mamba2Mixer(mixer, prefix: $0, from: reader)
    }
  }
}
