import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RWKV-6 language models (Peng and others 2024), in the layout of their authors: `.pth` files, which need no configuration.
package struct RWKV6: Architecture {
  package static let name = "rwkv6"

  package static func recognizes(_ configuration: JSON) -> Bool {
    configuration["model_type"]?.string == "rwkv6" && configuration["original_layout"]?.bool == true
  }

  package let shape: LanguageShape
  let time: RWKV6TimeMixer.Sizes
  let inner: Int
  /// After so many layers output weights are kept halved, once more each time (as files for half precision have them); 0 for never.
  let rescale: Int

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    let rank = max(8, shape.width / 4)
    return shape.members(name) + [
      ("original_layout", .bool(true)), ("head_size", JSON(shape.stateSize)), ("mix_rank", JSON(rank)),
      ("decay_rank", JSON(rank)), ("intermediate_size", JSON(2 * shape.width)),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    try configuration.require("original_layout", true)
    let width = try configuration.integer("hidden_size", in: 1...1 << 20)
    time = RWKV6TimeMixer.Sizes(
      width: width, headSize: try configuration.integer("head_size", in: 1...1 << 16),
      mixRank: try configuration.integer("mix_rank", in: 1...1 << 16),
      decayRank: try configuration.integer("decay_rank", in: 1...1 << 16))
    guard width % time.headSize == 0 else { throw configuration.failure("head_size", "does not divide hidden_size") }
    inner = try configuration.integer("intermediate_size", in: 1...1 << 22)
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", in: 1...1 << 24), intent: try ModelIntent(&configuration))
    rescale = try configuration.integer("rescale_every", 0, in: 0...1 << 16)
    configuration.ignore(HuggingFaceKeys.withoutMeaning)
  }

  package static func configuration(of shapes: [String: [Int]]) -> JSON? {
    func shape(_ name: String, _ count: Int) -> [Int]? { shapes[name].flatMap { $0.count == count ? $0 : nil } }
    guard let embedding = shape("emb.weight", 2), let heads = shape("blocks.0.att.time_faaaa", 2),
      let mixing = shape("blocks.0.att.time_maa_w2", 3), let decay = shape("blocks.0.att.time_decay_w1", 2),
      let inner = shape("blocks.0.ffn.key.weight", 2), let layers = RWKVNames.layers(shapes)
    else { return nil }
    let sizes = [
      ("hidden_size", embedding[1]), ("vocab_size", embedding[0]), ("head_size", heads[1]), ("mix_rank", mixing[1]),
      ("decay_rank", decay[1]), ("intermediate_size", inner[0]), ("num_hidden_layers", layers),
    ]
    return .object(
      JSONObject(
        [("model_type", .string(name)), ("original_layout", .bool(true))] + sizes.map { ($0.0, .number(.integer($0.1))) }))
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(shape.width) head \(time.headSize) ranks \(time.mixRank) \(time.decayRank) inner \(inner)
    """ + (rescale > 0 ? " rescale \(rescale)" : "")
  }

  /// As the authors begin, roughly: decays from slow to fast over the channels, mixing spread over them.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    let count = entry.count
    return StackInitialization(layers: shape.layers, outputs: ["output.weight", "ffn.value.weight"]).values(
      of: entry, using: &generator
    ) { name, draw in
      let ramp = (0..<count).map { Float($0) / Float(max(1, count - 1)) }
      switch name {
      case "time_decay": return ramp.map { -6 + 6 * $0 }
      case "time_faaaa": return draw { 0.3 * $0.normal() }
      case let path where path.contains("_w1") || path.contains("_w2"): return draw { ($0.uniform() - 0.5) * 2e-2 }
      case let mix where mix.hasPrefix("time_maa"): return ramp
      default: return nil
      }
    }
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let width = shape.width
    return try RWKVNames.blocks(
      shape, isTied: false, epsilon: 1e-5, from: reader,
      scale: { rescale > 0 ? Float(sign: .plus, exponent: $0 / rescale, significand: 1) : 1 }
    ) { prefix, _ in
      let channel = RWKVChannelMixer(
        width: width, inner: inner, keyMix: try reader.mixRow(prefix + "ffn.time_maa_k", count: width),
        key: try reader.weight(prefix + "ffn.key.weight", outputs: inner, inner: width),
        value: try reader.weight(prefix + "ffn.value.weight", outputs: width, inner: inner),
        receptanceMix: try reader.mixRow(prefix + "ffn.time_maa_r", count: width),
        receptance: try reader.weight(prefix + "ffn.receptance.weight", outputs: width, inner: width))
      return (try RWKV6TimeMixer(time, prefix: prefix + "att.", from: reader), channel)
    }
  }
}
