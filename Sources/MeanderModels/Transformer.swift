import MeanderErrors
import MeanderFiles
import MeanderKernels

/// What Llama and its kin have in common: norm → attention → add, norm → gated feed-forward → add, rotary positions, and the names
/// of their tensors. An architecture's file says what is its own.
package struct Transformer: Sendable {
  package var shape: LanguageShape
  package var attention: AttentionMixer.Sizes
  package var feedForward: FeedForwardMixer.Sizes
  package var epsilon: Float
  package var isTied: Bool
  /// How many positions it was made for.
  package var positions: Int
  /// Per layer, its own sliding window.
  package var windows: [Int?]
  private var rotary: String
  /// How it knows positions.
  private var placing = AttentionIntent.Positions.rotary
  /// How positions are stretched.
  private(set) var scaling = RotaryScaling()

  /// What a configuration means where it says nothing.
  struct Defaults {
    var width = 4096
    var inner = 11008
    var layers = 32
    var heads = 32
    var keyHeads: Int?
    var vocabulary = 32000
    var epsilon = 1e-6
    var positions = 2048
    /// Of a head, where the width is not simply shared out.
    var headWidth: Int?
  }

  /// Reads what all of them say; `headNorm` and the biases are the architecture's to set.
  init(_ configuration: inout Configuration, _ defaults: Defaults = Defaults()) throws {
    let width = try configuration.integer("hidden_size", defaults.width, in: 1...1 << 20)
    let heads = try configuration.integer("num_attention_heads", defaults.heads, in: 1...1 << 16)
    let keyHeads = try configuration.integer("num_key_value_heads", defaults.keyHeads ?? heads, in: 1...1 << 16)
    let headWidth = try configuration.integer("head_dim", defaults.headWidth ?? width / heads, in: 1...1 << 16)
    guard headWidth > 0 else {
      throw configuration.failure("num_attention_heads", "is \(heads), and a width of \(width) has no place for as many")
    }
    guard heads.isMultiple(of: keyHeads) else {
      throw configuration.failure("num_key_value_heads", "is \(keyHeads), which \(heads) heads cannot share")
    }
    positions = try configuration.integer("max_position_embeddings", defaults.positions, in: 1...1 << 40)
    attention = AttentionMixer.Sizes(width: width, heads: heads, keyHeads: keyHeads, headWidth: headWidth)
    let (scaling, share) = try RotaryScaling.read(&configuration, length: positions)
    let turned = Int(Double(headWidth) * share) / 2 * 2
    guard scaling.kind != .divided || scaling.divisors.count == turned / 2 else {
      throw configuration.failure("rope_scaling", "holds \(scaling.divisors.count) divisors, and \(turned / 2) pairs of a head turn")
    }
    rotary = "none"
    let inner = try configuration.integer("intermediate_size", defaults.inner, in: 1...1 << 22)
    feedForward = FeedForwardMixer.Sizes(width: width, inner: inner, activation: try configuration.activation("hidden_act"))
    epsilon = Float(try configuration.float("rms_norm_eps", defaults.epsilon, in: 0...1))
    let layers = try configuration.integer("num_hidden_layers", defaults.layers, in: 1...1 << 16)
    shape = LanguageShape(
      width: width, layers: layers, vocabulary: try configuration.integer("vocab_size", defaults.vocabulary, in: 1...1 << 24),
      intent: try ModelIntent(&configuration))
    if let own = shape.intent.attention {
      let logWidth = Float(logarithm(Double(headWidth)))
      attention.softplus = own.softplus.map {
        SoftplusRule(logWidth: logWidth, offset: $0.offset, power: $0.power)
      }
      attention.hasPrefix = own.hasPrefix
    }
    isTied = try configuration.bool("tie_word_embeddings", false)
    placing = shape.intent.attention?.positions ?? .rotary
    windows = Array(repeating: nil, count: layers)
    turn(turned, scaling)
    configuration.ignore(HuggingFaceKeys.withoutMeaning + ["attention_dropout", "pretraining_tp"])
  }

  /// Turns so many places of each head by position; 0 for none.
  mutating func turn(_ width: Int, _ scaling: RotaryScaling) {
    self.scaling = scaling
    guard placing == .rotary else {
      rotary = placing.rawValue
      switch placing {
      case .linear: attention.positions = .linear
      case .buckets:
        attention.positions = .buckets(name: "model.relative_attention_bias.weight", count: 32, largest: 128)
      case .rotary, .none, .learned: attention.positions = .none
      }
      return
    }
    let positions = width > 0 ? scaling.rotary(width: width) : nil
    attention.positions = positions.map { .rotary($0) } ?? .none
    rotary = positions?.arithmetic ?? "none"
  }

  /// Layers with a sliding window: those that `layer_types` names, else those from `max_window_layers` on, where
  /// `use_sliding_window` says that there are any.
  mutating func readWindows(_ configuration: inout Configuration) throws {
    let isUsed = try configuration.bool("use_sliding_window", false)
    let window = try configuration.optionalInteger("sliding_window", in: 1...1 << 40)
    let first = try configuration.integer("max_window_layers", 28, in: 0...1 << 16)
    let types = try configuration.strings("layer_types", [])
    guard types.isEmpty || types.count == shape.layers else {
      throw configuration.failure("layer_types", "names \(types.count) layers, and there are \(shape.layers)")
    }
    if let other = types.first(where: { $0 != "full_attention" && $0 != "sliding_attention" }) {
      throw configuration.failure("layer_types", "names '\(other)', which this architecture does not have")
    }
    windows = (0..<shape.layers).map { layer in
      let slides = types.isEmpty ? isUsed && layer >= first : types[layer] == "sliding_attention"
      return slides ? window : nil
    }
  }

  package var arithmetic: String {
    """
    layers \(shape.layers) width \(attention.width) heads \(attention.heads) \(attention.keyHeads) \(attention.headWidth) \
    inner \(feedForward.inner) \(feedForward.activation.rawValue) bias \(attention.hasInputBias) \(attention.hasOutputBias) \
    \(feedForward.hasBias) norm \(epsilon) \(attention.headNorm ?? 0) windows \(windows.map { $0 ?? 0 }) \(rotary) \
    softplus \(attention.softplus.map { "\($0.offset) \($0.power)" } ?? "none") prefix \(attention.hasPrefix) tied \(isTied)
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    let (width, rows) = (shape.width, shape.vocabulary)
    let embedding = try reader.weight("model.embed_tokens.weight", outputs: rows, inner: width)
    let bytes = windows.reduce(0) { $0 + (AttentionBound.isKeptWhole($1) ? 0 : attention.bytesPerToken) }
    let steps = try (0..<shape.layers).flatMap { layer -> [Block] in
      let prefix = "model.layers.\(layer)."
      let bound = try AttentionBound(reader.context, positions: positions, window: windows[layer], bytesPerToken: bytes)
      var names = AttentionMixer.Names(
        q: prefix + "self_attn.q_proj", k: prefix + "self_attn.k_proj", v: prefix + "self_attn.v_proj",
        output: prefix + "self_attn.o_proj")
      (names.qNorm, names.kNorm) = (prefix + "self_attn.q_norm", prefix + "self_attn.k_norm")
      names.prefix = prefix + "self_attn.prefix"
      // Old files hold what follows from the configuration.
      if let rotary = attention.positions.rotary {
        reader.ignore(prefix + "self_attn.rotary_emb.inv_freq", shape: [rotary.turns.count])
      }
      return [
        Block(
          layer: layer, norm: try reader.rootMeanSquareNorm(prefix + "input_layernorm.weight", width: width, epsilon: epsilon),
          mixer: try AttentionMixer(attention, bound, names, from: reader)),
        Block(
          layer: layer,
          norm: try reader.rootMeanSquareNorm(prefix + "post_attention_layernorm.weight", width: width, epsilon: epsilon),
          mixer: try FeedForwardMixer(
            feedForward, .init(gate: prefix + "mlp.gate_proj", up: prefix + "mlp.up_proj", down: prefix + "mlp.down_proj"),
            from: reader)),
      ]
    }
    if isTied { reader.ignore("lm_head.weight", shape: [rows, width]) }
    return Blocks(
      embedding: embedding, positions: try learnedPositions(from: reader), steps: steps,
      finalNorm: try reader.rootMeanSquareNorm("model.norm.weight", width: width, epsilon: epsilon),
      head: OutputHead(isTied ? embedding : try reader.weight("lm_head.weight", outputs: rows, inner: width)))
  }

  /// A vector for each place, where positions are learned.
  func learnedPositions(from reader: WeightReader) throws -> Weight? {
    guard placing == .learned else { return nil }
    return try reader.weight("model.embed_positions.weight", outputs: positions, inner: shape.width)
  }

  /// As in any stack; biases over distances and prefixes as embeddings begin.
  package func initialValues(of entry: Parameters.Entry, using generator: inout SplitMix64) -> [Float] {
    StackInitialization(layers: shape.layers, outputs: ["o_proj.weight", "down_proj.weight"]).values(
      of: entry, using: &generator
    ) { name, draw in
      name.hasPrefix("prefix.") || name.hasPrefix("relative_attention_bias") ? draw { $0.normal() * 0.02 } : nil
    }
  }
}

/// An architecture that is a `Transformer`.
package protocol TransformerArchitecture: Architecture {
  var transformer: Transformer { get }
}

extension TransformerArchitecture {
  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }
  package var shape: LanguageShape { transformer.shape }
  package var arithmetic: String { transformer.arithmetic }
  package func build(from reader: WeightReader) throws -> Blocks { try transformer.build(from: reader) }
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    transformer.initialValues(of: entry, using: &generator)
  }
}

extension Configuration {
  /// An activation by the names that checkpoints use; silu where there is none.
  mutating func activation(_ key: String) throws -> Activation {
    let names: [String: Activation] = [
      "silu": .silu, "swish": .silu, "gelu": .gelu, "gelu_new": .geluTanh, "gelu_pytorch_tanh": .geluTanh,
      "gelu_fast": .geluTanh, "relu": .relu, "relu2": .reluSquared,
    ]
    guard let name = try optionalString(key, among: names.keys.sorted()) else { return .silu }
    return names[name] ?? .silu
  }
}
