import MeanderErrors
import MeanderFiles
import MeanderKernels

/// What hybrids have in common: a configuration that says what a `Transformer`'s does and which layers are recurrent, and a stack
/// whose layers an architecture's file puts together.
package struct HybridStack: Sendable {
  package var transformer: Transformer
  /// Per layer, whether it attends.
  package var attends: [Bool]
  /// What the tensors around the layers are called.
  var embedding = "model.embed_tokens.weight"
  var finalNorm = "model.norm.weight"
  /// What is added to every norm's weight: some models store them less one.
  var normOffset: Float = 0
  var embeddingScale: Float = 1
  var logitScale: Float = 1
  var logitCap: Float?

  init(_ transformer: Transformer, attends: [Bool]) { (self.transformer, self.attends) = (transformer, attends) }

  package var shape: LanguageShape { transformer.shape }

  var arithmetic: String {
    """
    \(transformer.arithmetic) attends \(attends.map { $0 ? "1" : "0" }.joined()) offset \(normOffset) scales \
    \(embeddingScale) \(logitScale) \(logitCap ?? 0)
    """
  }

  /// Layers of which `layer` names the steps.
  func build(
    from reader: WeightReader, _ layer: (_ layer: Int, _ prefix: String) throws -> [Block]
  ) throws -> Blocks {
    let (width, rows) = (shape.width, shape.vocabulary)
    let embedding = try reader.weight(embedding, outputs: rows, inner: width)
    let stem = finalNorm.hasPrefix("backbone") ? "backbone.layers." : "model.layers."
    let steps = try (0..<shape.layers).flatMap { try layer($0, "\(stem)\($0).") }
    if transformer.isTied { reader.ignore("lm_head.weight", shape: [rows, width]) }
    let head = transformer.isTied ? embedding : try reader.weight("lm_head.weight", outputs: rows, inner: width)
    return Blocks(
      embedding: embedding, embeddingScale: embeddingScale, positions: try transformer.learnedPositions(from: reader), steps: steps, finalNorm: try norm(finalNorm, from: reader),
      head: OutputHead(head, scale: logitScale, cap: logitCap))
  }

  func norm(_ name: String, from reader: WeightReader) throws -> Norm {
    try reader.rootMeanSquareNorm(name, width: shape.width, epsilon: transformer.epsilon, offset: normOffset)
  }

  /// The attention of a layer, whose tensors are called `prefix`q_proj.weight and so on.
  func attention(
    _ prefix: String, layer: Int, from reader: WeightReader, _ change: (inout AttentionMixer.Names) -> Void = { _ in }
  ) throws -> AttentionMixer {
    var names = AttentionMixer.Names(
      q: prefix + "q_proj", k: prefix + "k_proj", v: prefix + "v_proj", output: prefix + "o_proj")
    (names.qNorm, names.kNorm) = (prefix + "q_norm", prefix + "k_norm")
    change(&names)
    let sizes = transformer.attention
    let bytes = zip(attends, transformer.windows).reduce(0) {
      $0 + ($1.0 && !AttentionBound.isKeptWhole($1.1) ? sizes.bytesPerToken : 0)
    }
    let bound = try AttentionBound(
      reader.context, positions: transformer.positions, window: transformer.windows[layer], bytesPerToken: bytes)
    return try AttentionMixer(sizes, bound, names, from: reader)
  }

  /// A gated feed-forward, whose tensors are called `prefix`gate_proj.weight and so on.
  func feedForward(
    _ prefix: String, from reader: WeightReader, gate: String = "gate_proj", up: String = "up_proj", down: String = "down_proj"
  ) throws -> FeedForwardMixer {
    try FeedForwardMixer(
      transformer.feedForward, .init(gate: prefix + gate, up: prefix + up, down: prefix + down), from: reader)
  }

  /// Experts of one tensor each, called `prefix`experts.3.`names`.weight.
  func experts(
    _ count: Int, inner: Int, prefix: String, router: String, rule: ExpertRouter,
    names: (gate: String?, up: String, down: String) = ("gate_proj", "up_proj", "down_proj"), from reader: WeightReader
  ) throws -> ExpertsMixer {
    let width = shape.width
    let gate = try reader.weight(prefix + router + ".weight", outputs: count, inner: width)
    let experts = try (0..<count).map { index in
      func weight(_ name: String, _ outputs: Int, _ inner: Int) throws -> Weight {
        try reader.weight("\(prefix)experts.\(index).\(name).weight", outputs: outputs, inner: inner)
      }
      return ExpertsMixer.Expert(
        gate: try names.gate.map { try weight($0, inner, width) }, up: try weight(names.up, inner, width),
        down: try weight(names.down, width, inner))
    }
    return ExpertsMixer(
      width: width, inner: inner, activation: transformer.feedForward.activation, rule: rule, router: gate, experts: experts)
  }

  /// How parameters begin: recurrent ones as Mamba's do, all else as in a stack.
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) -> [Float] {
    let outputs = ["out_proj.weight", "o_proj.weight", "down_proj.weight"]
    return StackInitialization(layers: shape.layers, outputs: outputs).values(of: entry, using: &generator) { name, draw in
      if normOffset != 0, name.contains("norm") { return draw { _ in 0 } }
      return StackInitialization.recurrentValues(of: entry, name, options, draw)
    }
  }
}

/// An architecture that is a `HybridStack`.
protocol HybridArchitecture: Architecture {
  var stack: HybridStack { get }
}

extension HybridArchitecture {
  package static func recognizes(_ configuration: JSON) -> Bool { configuration["model_type"]?.string == name }
  package var shape: LanguageShape { stack.shape }
  package func initialValues(
    of entry: Parameters.Entry, _ options: Initialization, using generator: inout SplitMix64
  ) throws -> [Float] {
    stack.initialValues(of: entry, options, using: &generator)
  }
}

extension Configuration {
  /// Which layers attend, by the names that `key` gives to each; all names but `recurrent` and `attention` are refused.
  mutating func attendingLayers(
    _ key: String, count: Int, recurrent: Set<String>, attention: Set<String> = ["full_attention", "attention"],
    fallback: (Int) -> Bool
  ) throws -> [Bool] {
    let kinds = try strings(key, [])
    if kinds.isEmpty { return (0..<count).map(fallback) }
    guard kinds.count == count else { throw failure(key, "names \(kinds.count) layers, and there are \(count)") }
    return try kinds.map { kind in
      guard recurrent.contains(kind) || attention.contains(kind) else {
        throw failure(key, "names '\(kind)', which this architecture does not have")
      }
      return attention.contains(kind)
    }
  }

  /// The sizes of a Mamba-2 layer under the keys `mamba_d_state` and so on.
  mutating func mamba2(width: Int, epsilon: Float) throws -> Mamba2Mixer.Sizes {
    let expansion = try integer("mamba_expand", 2, in: 1...64)
    let heads = try integer("mamba_n_heads", 128, in: 1...1 << 20)
    let inner = try integer("mamba_d_ssm", expansion * width, in: 1...1 << 22)
    let headWidth = value("mamba_d_head")?.string == "auto" ? inner / heads : try integer("mamba_d_head", inner / heads, in: 1...1 << 16)
    guard heads * headWidth == inner else { throw failure("mamba_n_heads", "of \(headWidth) channels do not make up \(inner)") }
    let sizes = Mamba2Mixer.Sizes(
      width: width, heads: heads, headWidth: headWidth, stateSize: try integer("mamba_d_state", 256, in: 1...1 << 16),
      groups: try integer("mamba_n_groups", 1, in: 1...1 << 16),
      convolutionWidth: try integer("mamba_d_conv", 4, in: 1...64), epsilon: epsilon,
      timeStepLimit: try timeStepLimit("time_step_limit"), hasProjectionBias: try bool("mamba_proj_bias", false),
      hasConvolutionBias: try bool("mamba_conv_bias", true))
    ignore(["mamba_chunk_size", "num_logits_to_keep"])
    try hold(sizes, groups: "mamba_n_groups")
    return sizes
  }

  /// Throws unless the heads share the groups.
  func hold(_ sizes: Mamba2Mixer.Sizes, groups key: String) throws {
    guard sizes.headWidth > 0, sizes.heads.isMultiple(of: sizes.groups), sizes.inner.isMultiple(of: sizes.groups) else {
      throw failure(key, "is \(sizes.groups), which \(sizes.heads) heads of \(sizes.headWidth) cannot share")
    }
  }
}

extension Mamba2Mixer.Sizes {
  /// What of it changes what is computed.
  var arithmetic: String {
    """
    mamba heads \(heads) \(headWidth) state \(stateSize) groups \(groups) convolution \(convolutionWidth) epsilon \(epsilon) \
    limit \(timeStepLimit) bias \(hasProjectionBias) \(hasConvolutionBias)
    """
  }
}
