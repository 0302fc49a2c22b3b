import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Mamba language models (Gu and Dao 2023), in the layout of Hugging Face and in the original one of
/// state-spaces.
package struct Mamba1: ArchitectureInTwoLayouts {
  package static let name = "mamba"

  package static func recognizes(_ configuration: JSON) -> Bool {
    if let type = configuration["model_type"]?.string { return type == "mamba" }
    guard let layer = configuration["ssm_cfg"] else { return false }
    return layer["layer"]?.string ?? "Mamba1" == "Mamba1"
  }

  package let shape: LanguageShape
  let mixer: Mamba1Mixer.Sizes
  let epsilon: Float
  let isTied: Bool
  /// The original layout names the embedding in the singular.
  let embeddingName: String

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    shape.members(name) + [("state_size", JSON(shape.stateSize)), ("tie_word_embeddings", .bool(true))]
  }

  package init(huggingFace configuration: inout Configuration) throws {
    try self.init(huggingFace: &configuration, selectionNorms: .none)
  }

  /// - Parameter selectionNorms: what a kin of Mamba has more than it.
  init(huggingFace configuration: inout Configuration, selectionNorms: Mamba1Mixer.Sizes.SelectionNorms) throws {
    let width = try configuration.integer("hidden_size", 768, in: 1...1 << 20)
    let expansion = try configuration.integer("expand", 2, in: 1...64)
    epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    mixer = Mamba1Mixer.Sizes(
      width: width, inner: try configuration.integer("intermediate_size", expansion * width, in: 1...1 << 22),
      stateSize: try configuration.integer("state_size", 16, in: 1...1 << 16),
      timeStepRank: try configuration.timeStepRank("time_step_rank", width: width),
      convolutionWidth: try configuration.integer("conv_kernel", 4, in: 1...64),
      hasProjectionBias: try configuration.bool("use_bias", false),
      hasConvolutionBias: try configuration.bool("use_conv_bias", true), selectionNorms: selectionNorms)
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", 32, in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", 50280, in: 1...1 << 24),
      intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", true)
    embeddingName = "embeddings"
    _ = try configuration.optionalString("hidden_act", among: ["silu", "swish"])
    configuration.ignore(HuggingFaceKeys.withoutMeaning + HuggingFaceKeys.mambaTraining)
  }

  package init(original configuration: inout Configuration) throws {
    let width = try configuration.integer("d_model", in: 1...1 << 20)
    guard var layer = try configuration.object("ssm_cfg") else { throw configuration.failure("ssm_cfg", "is missing") }
    epsilon = 1e-5
    mixer = Mamba1Mixer.Sizes(
      width: width, inner: try layer.integer("expand", 2, in: 1...64) * width,
      stateSize: try layer.integer("d_state", 16, in: 1...1 << 16),
      timeStepRank: try layer.timeStepRank("dt_rank", width: width),
      convolutionWidth: try layer.integer("d_conv", 4, in: 1...64),
      hasProjectionBias: try layer.bool("bias", false), hasConvolutionBias: try layer.bool("conv_bias", true))
    layer.ignore(["layer", "use_fast_path", "dt_min", "dt_max", "dt_init", "dt_scale", "dt_init_floor"])
    try layer.finish()
    (shape, isTied) = try LanguageShape.original(&configuration, width: width)
    embeddingName = "embedding"
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(mixer.width) inner \(mixer.inner) state \(mixer.stateSize) \
    rank \(mixer.timeStepRank) convolution \(mixer.convolutionWidth) epsilon \(epsilon) bias \(mixer.hasProjectionBias) \
    \(mixer.hasConvolutionBias) tied \(isTied)
    """
  }

  /// As the reference begins: A = -(1 … N) for every channel, the time step's bias drawn for the range that the options name,
  /// projections uniform within 1/√fan-in, the output projection divided by √L.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    StackInitialization(layers: shape.layers, outputs: ["out_proj.weight"]).values(of: entry, using: &generator) {
      StackInitialization.recurrentValues(of: entry, $0, options, $1)
    }
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try reader.backbone(shape, embedding: embeddingName, isTied: isTied, epsilon: epsilon) {
      try Mamba1Mixer(mixer, prefix: $0, from: reader)
    }
  }
}
