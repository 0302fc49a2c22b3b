import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Language models of LSTM layers in the frame of the others (norm → mixer → add): what a recurrent model of the same size and
/// recipe is compared with. The layout is Meander's own; its `model_type` is `lstm`.
package struct LongShortTermMemory: Architecture {
  package static let name = "lstm"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == "lstm" }

  package let shape: LanguageShape
  let mixer: LongShortTermMemoryMixer.Sizes
  let epsilon: Float
  let isTied: Bool

  package init(_ configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", in: 1...1 << 16)
    mixer = LongShortTermMemoryMixer.Sizes(
      width: width, inner: try configuration.integer("intermediate_size", width, in: 1...1 << 16))
    epsilon = Float(try configuration.float("layer_norm_epsilon", 1e-5, in: 0...1))
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", in: 1...1 << 24), intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    configuration.ignore(HuggingFaceKeys.withoutMeaning)
  }

  package var arithmetic: String {
    "layers \(shape.layers) width \(mixer.width) inner \(mixer.inner) epsilon \(epsilon) tied \(isTied)"
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try reader.backbone(shape, embedding: "embeddings", isTied: isTied, epsilon: epsilon) {
      try LongShortTermMemoryMixer(mixer, prefix: $0, from: reader)
    }
  }

  /// Projections uniform within 1/√fan-in, the output projection divided by √L, embeddings normal with deviation 0.02.
  ///
  /// The gates begin as Tallec and Ollivier 2018 have it: a channel's memory is drawn from `timeStep`, uniform in its logarithm, as
  /// the share s that it forgets each token: f is biased to σ(f) = 1 - s, and i to -f.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    func uniform(_ bound: Double) -> [Float] {
      (0..<entry.count).map { _ in Float((2 * generator.uniform() - 1) * bound) }
    }
    switch entry.name.split(separator: ".").suffix(2).joined(separator: ".") {
    case "in_proj.weight", "recurrent.weight": return uniform(1 / Double(entry.columns).squareRoot())
    case "out_proj.weight":
      return uniform(1 / Double(entry.columns).squareRoot() / Double(shape.layers).squareRoot())
    case "in_proj.bias":
      let (low, high) = (log(options.timeStep.lowerBound), log(options.timeStep.upperBound))
      let forget = (0..<mixer.inner).map { _ in
        let share = min(0.5, exp(low + generator.uniform() * (high - low)))
        return Float(log((1 - share) / share))
      }
      let zeros = [Float](repeating: 0, count: 2 * mixer.inner)
      return forget.map { -$0 } + forget + zeros
    case "norm.weight", "norm_f.weight": return [Float](repeating: 1, count: entry.count)
    default: return (0..<entry.count).map { _ in Float(generator.normal() * 0.02) }
    }
  }
}
