import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RWKV-7 language models (Peng and others 2025), in the layout of their authors (`.pth`, which needs no configuration) and in
/// that of Hugging Face.
package struct RWKV7: Architecture {
  package static let name = "rwkv7"

  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == "rwkv7" }

  /// Whether the tensors are named and turned as the authors' files have them.
  let isOriginal: Bool
  package let shape: LanguageShape
  let headSize: Int
  let inner: Int
  let epsilon: Float
  /// ε of the group norm.
  let groupEpsilon: Float
  let isTied: Bool
  /// The ranks of the paths of w, a, v and g.
  let ranks: [String: Int]

  package static func configuration(of shape: StateShape) -> [(String, JSON)]? {
    let rank = JSON(max(8, shape.width / 4))
    return shape.members(name) + [
      ("head_dim", JSON(shape.stateSize)), ("decay_low_rank_dim", rank), ("a_low_rank_dim", rank), ("v_low_rank_dim", rank),
      ("gate_low_rank_dim", rank), ("intermediate_size", JSON(3 * shape.width)), ("tie_word_embeddings", .bool(true)),
    ]
  }

  package init(_ configuration: inout Configuration) throws {
    isOriginal = try configuration.bool("original_layout", false)
    let width = try configuration.integer("hidden_size", 2048, in: 1...1 << 20)
    headSize = try configuration.integer("head_dim", 64, in: 1...1 << 16)
    guard width % headSize == 0 else { throw configuration.failure("head_dim", "does not divide hidden_size") }
    for key in ["num_heads", "num_attention_heads"] where configuration.has(key) {
      _ = try configuration.integer(key, in: width / headSize...width / headSize)
    }
    let ratio = try configuration.optionalFloat("hidden_ratio", in: 0.01...64) ?? 4
    inner = try configuration.integer("intermediate_size", Int(ratio * Double(width)), in: 1...1 << 22)
    epsilon = Float(try configuration.float("norm_eps", 1e-5, in: 0...1))
    groupEpsilon = isOriginal ? 64e-5 : epsilon * Float(headSize)
    var ranks: [String: Int] = [:]
    for (name, key) in [("w", "decay"), ("a", "a"), ("v", "v"), ("g", "gate")] {
      ranks[name] = try configuration.integer(key + "_low_rank_dim", in: 1...1 << 20)
    }
    self.ranks = ranks
    shape = LanguageShape(
      width: width, layers: try configuration.integer("num_hidden_layers", in: 1...1 << 16),
      vocabulary: try configuration.integer("vocab_size", in: 1...1 << 24), intent: try ModelIntent(&configuration))
    isTied = try configuration.bool("tie_word_embeddings", false)
    try configuration.require("norm_bias", true)
    try configuration.require("norm_first", true)
    try configuration.require("attention_hidden_size", width, whenGiven: true)
    for value in try configuration.integers("value_dim", [], in: 1...1 << 22) where value != width {
      throw configuration.failure("value_dim", "can only be \(width) here")
    }
    _ = try configuration.optionalString("hidden_act", among: ["sqrelu"])
    guard !configuration.has("attn") else { throw configuration.failure("attn", "can only be left out here") }
    configuration.ignore(
      HuggingFaceKeys.withoutMeaning + [
        "attn", "attn_mode", "fuse_norm", "fuse_cross_entropy", "max_position_embeddings", "rwkv7_hf_adapter_layout",
        "fuse_linear_cross_entropy", "use_l2warp",
      ])
  }

  package static func configuration(of shapes: [String: [Int]]) -> JSON? {
    func shape(_ name: String, _ count: Int) -> [Int]? { shapes[name].flatMap { $0.count == count ? $0 : nil } }
    guard let embedding = shape("emb.weight", 2), let heads = shape("blocks.0.att.r_k", 2),
      let inner = shape("blocks.0.ffn.key.weight", 2), let layers = RWKVNames.layers(shapes)
    else { return nil }
    let ranks: [(String, JSON)] = [("w", "decay"), ("a", "a"), ("v", "v"), ("g", "gate")].map { name, key in
      let path = shape("blocks.\(layers - 1).att.\(name)1", 2) ?? [0, 1]
      return (key + "_low_rank_dim", .number(.integer(path[1])))
    }
    return .object(
      JSONObject(
        [
          ("model_type", .string(name)), ("original_layout", .bool(true)), ("hidden_size", .number(.integer(embedding[1]))),
          ("vocab_size", .number(.integer(embedding[0]))), ("head_dim", .number(.integer(heads[1]))),
          ("intermediate_size", .number(.integer(inner[0]))), ("num_hidden_layers", .number(.integer(layers))),
        ] + ranks))
  }

  package var arithmetic: String {
    let paths = ["w", "a", "v", "g"].map { "\($0) \(ranks[$0] ?? 0)" }.joined(separator: " ")
    return """
      layers \(shape.layers) width \(shape.width) head \(headSize) inner \(inner) ranks \(paths) epsilon \(epsilon) \
      \(groupEpsilon) tied \(isTied)
      """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try isOriginal ? original(reader) : huggingFace(reader)
  }

  private func sizes(_ layer: Int) -> RWKV7TimeMixer.Sizes {
    RWKV7TimeMixer.Sizes(width: shape.width, headSize: headSize, epsilon: groupEpsilon, isFirst: layer == 0)
  }

  private func original(_ reader: WeightReader) throws -> Blocks {
    let width = shape.width
    func square(_ name: String) throws -> Weight { try reader.weight(name, outputs: width, inner: width) }
    return try RWKVNames.blocks(shape, isTied: isTied, epsilon: epsilon, from: reader) { prefix, layer in
      let time = prefix + "att."
      func mix(_ name: String) throws -> Matrix { try reader.mixRow(time + name, count: width) }
      func path(_ name: String, hasBias: Bool = true) throws -> LowRank {
        try LowRank(
          time + name, width: width, rank: ranks[name] ?? 0, outputs: width, bias: hasBias ? time + name + "0" : nil,
          from: reader)
      }
      if layer == 0 {
        let rank = ranks["v"] ?? 0
        for (name, shape) in [("v0", [1, 1, width]), ("v1", [width, rank]), ("v2", [rank, width])] {
          reader.ignore(time + name, shape: shape)
        }
      }
      let weights = RWKV7TimeMixer.Weights(
        mixR: try mix("x_r"), mixW: try mix("x_w"), mixK: try mix("x_k"), mixV: try mix("x_v"), mixA: try mix("x_a"),
        mixG: try mix("x_g"), keyScale: try mix("k_k"), keyShare: try mix("k_a"),
        bonus: try reader.headRow(time + "r_k", heads: width / headSize, width: headSize),
        receptance: try square(time + "receptance.weight"), key: try square(time + "key.weight"),
        value: try square(time + "value.weight"), output: try square(time + "output.weight"), decay: try path("w"),
        rate: try path("a"), gate: try path("g", hasBias: false), valueShare: layer == 0 ? nil : try path("v"),
        norm: try reader.layerNorm(time + "ln_x.", width: width, epsilon: groupEpsilon))
      let channel = RWKVChannelMixer(
        width: width, inner: inner, keyMix: try reader.mixRow(prefix + "ffn.x_k", count: width),
        key: try reader.weight(prefix + "ffn.key.weight", outputs: inner, inner: width),
        value: try reader.weight(prefix + "ffn.value.weight", outputs: width, inner: inner))
      return (RWKV7TimeMixer(sizes(layer), weights), channel)
    }
  }

  private func huggingFace(_ reader: WeightReader) throws -> Blocks {
    let (width, heads) = (shape.width, shape.width / headSize)
    func square(_ name: String) throws -> Weight { try reader.weight(name, outputs: width, inner: width) }
    let embedding = try reader.weight("model.embeddings.weight", outputs: shape.vocabulary, inner: width)
    var (steps, embeddingNorm): ([Block], Norm?) = ([], nil)
    for layer in 0..<shape.layers {
      let prefix = "model.layers.\(layer)."
      let time = prefix + "attn."
      if layer == 0 { embeddingNorm = try reader.layerNorm(prefix + "pre_norm.", width: width, epsilon: epsilon) }
      func path(_ name: String, hasBias: Bool = true) throws -> LowRank {
        try LowRank(
          huggingFace: time + name + "_lora", width: width, rank: ranks[name] ?? 0, outputs: width, hasBias: hasBias,
          from: reader)
      }
      func mix(_ name: String) throws -> Matrix { try reader.mixRow(time + name, count: width) }
      func flat(_ name: String) throws -> Matrix { try reader.mixRow(time + name, count: width, isFlat: true) }
      let weights = RWKV7TimeMixer.Weights(
        mixR: try mix("x_r"), mixW: try mix("x_w"), mixK: try mix("x_k"), mixV: try mix("x_v"), mixA: try mix("x_a"),
        mixG: try mix("x_g"), keyScale: try flat("k_k"), keyShare: try flat("k_a"),
        bonus: try reader.headRow(time + "r_k", heads: heads, width: headSize),
        receptance: try square(time + "r_proj.weight"), key: try square(time + "k_proj.weight"),
        value: try square(time + "v_proj.weight"), output: try square(time + "o_proj.weight"), decay: try path("w"),
        rate: try path("a"), gate: try path("g", hasBias: false), valueShare: layer == 0 ? nil : try path("v"),
        norm: try reader.layerNorm(time + "g_norm.", width: width, epsilon: groupEpsilon))
      let channel = RWKVChannelMixer(
        width: width, inner: inner, keyMix: try reader.mixRow(prefix + "ffn.x_k", count: width, isFlat: true),
        key: try reader.weight(prefix + "ffn.key.weight", outputs: inner, inner: width),
        value: try reader.weight(prefix + "ffn.value.weight", outputs: width, inner: inner))
      steps.append(
        Block(
          layer: layer, norm: try reader.layerNorm(prefix + "attn_norm.", width: width, epsilon: epsilon),
          mixer: RWKV7TimeMixer(sizes(layer), weights)))
      steps.append(
        Block(
          layer: layer, norm: try reader.layerNorm(prefix + "ffn_norm.", width: width, epsilon: epsilon), mixer: channel))
    }
    if isTied { reader.ignore("lm_head.weight", shape: [shape.vocabulary, width]) }
    return Blocks(
      embedding: embedding, embeddingNorm: embeddingNorm, steps: steps,
      finalNorm: try reader.layerNorm("model.norm.", width: width, epsilon: epsilon),
      head: OutputHead(
        isTied ? embedding : try reader.weight("lm_head.weight", outputs: shape.vocabulary, inner: width)))
  }

  /// As the authors begin, roughly: mixing spread over the channels, decays from slow to fast over them, keys of length one.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    let count = entry.count
    return StackInitialization(layers: shape.layers, outputs: ["o_proj.weight", "output.weight", "ffn.value.weight"]).values(
      of: entry, using: &generator
    ) { name, _ in
      let ramp = (0..<count).map { Float($0) / Float(max(1, count - 1)) }
      switch name {
      case "2.bias" where entry.name.contains("w_lora"), "w0": return ramp.map { -6 + 6 * $0 }
      case "k_k": return [Float](repeating: 0.85, count: count)
      case "k_a": return [Float](repeating: 1, count: count)
      case "r_k": return [Float](repeating: 0, count: count)
      case let mix where mix.hasPrefix("x_"): return ramp
      default: return nil
      }
    }
  }
}
