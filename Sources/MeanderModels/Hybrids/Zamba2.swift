import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Zamba2 (Zyphra 2024): Mamba-2 layers, and before some of them one of a few shared transformer blocks, which sees the embedding
/// beside the stream and has a low-rank adapter of each of its places.
package struct Zamba2: HybridArchitecture {
  package static let name = "zamba2"

  let stack: HybridStack
  private let mamba: Mamba2Mixer.Sizes
  /// The layers with a shared block, in their order; how many blocks there are, and the rank of their adapters.
  private let hybrids: [Int]
  private let blocks, rank: Int
  private let hasAttentionAdapters: Bool

  package init(_ configuration: inout Configuration) throws {
    let width = try configuration.integer("hidden_size", 2560, in: 1...1 << 20)
    let heads = try configuration.integer("num_attention_heads", 32, in: 1...1 << 16)
    try configuration.require("attention_hidden_size", 2 * width, whenGiven: true)
    let headWidth = try configuration.integer("attention_head_dim", 2 * width / heads, in: 1...1 << 16)
    var transformer = try Transformer(
      &configuration,
      .init(
        width: width, inner: 4 * width, layers: 54, vocabulary: 32000, epsilon: 1e-5, positions: 4096, headWidth: headWidth))
    transformer.attention.width = 2 * width
    transformer.attention.scale = 1 / (Float(headWidth) / 2).squareRoot()
    if !(try configuration.bool("use_mem_rope", false)) { transformer.turn(0, RotaryScaling()) }
    transformer.isTied = try configuration.bool("tie_word_embeddings", true)
    try configuration.require("add_bias_linear", false)
    try configuration.require("use_long_context", false)
    let lowest = Float(try configuration.float("time_step_min", 0.001, in: 0...1e6))
    let expansion = try configuration.integer("mamba_expand", 2, in: 1...64)
    let mambaHeads = try configuration.integer("n_mamba_heads", 8, in: 1...1 << 20)
    mamba = Mamba2Mixer.Sizes(
      width: width, heads: mambaHeads,
      headWidth: try configuration.integer("mamba_headdim", expansion * width / mambaHeads, in: 1...1 << 16),
      stateSize: try configuration.integer("mamba_d_state", 64, in: 1...1 << 16),
      groups: try configuration.integer("mamba_ngroups", 1, in: 1...1 << 16),
      convolutionWidth: try configuration.integer("mamba_d_conv", 4, in: 1...64), epsilon: 1e-5,
      // The reference's prefill clamps from below alone.
      timeStepLimit: lowest...Float.infinity, hasProjectionBias: false,
      hasConvolutionBias: try configuration.bool("use_conv_bias", true))
    try configuration.hold(mamba, groups: "mamba_ngroups")
    let attends = try configuration.attendingLayers(
      "layers_block_type", count: transformer.shape.layers, recurrent: ["mamba", "linear_attention"], attention: ["hybrid"]
    ) { _ in false }
    hybrids = attends.indices.filter { attends[$0] }
    let listed = try configuration.integers("hybrid_layer_ids", hybrids, in: 0...1 << 16)
    guard listed == hybrids else { throw configuration.failure("hybrid_layer_ids", "are not the layers that are hybrid") }
    blocks = try configuration.integer("num_mem_blocks", 1, in: 1...1 << 10)
    rank = try configuration.integer("adapter_rank", 128, in: 1...1 << 16)
    hasAttentionAdapters = try configuration.bool("use_shared_attention_adapter", false)
    configuration.ignore(
      HuggingFaceKeys.mambaTraining + [
        "chunk_size", "kv_channels", "num_logits_to_keep", "num_query_groups", "use_mamba_kernels", "use_mem_eff_path",
        "use_shared_mlp_adapter", "use_shared_block_lora", "ffn_hidden_size", "sliding_window",
      ])
    stack = HybridStack(transformer, attends: attends)
  }

  package var arithmetic: String {
    "\(stack.arithmetic) \(mamba.arithmetic) blocks \(blocks) rank \(rank) \(hasAttentionAdapters)"
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    var stack = stack
    stack.finalNorm = "model.final_layernorm.weight"
    // A block's tensors stand in the first layer that has it.
    var shared: [Int: SharedBlockMixer.Block] = [:]
    var result = try stack.build(from: reader) { layer, prefix in
      guard let place = hybrids.firstIndex(of: layer) else {
        return [
          Block(
            layer: layer, norm: try stack.norm(prefix + "input_layernorm.weight", from: reader),
            mixer: try Mamba2Mixer(mamba, prefix: prefix + "mamba.", from: reader))
        ]
      }
      let home = "model.layers.\(hybrids[place % blocks]).shared_transformer."
      let block = try shared[place % blocks] ?? sharedBlock(home, reader)
      shared[place % blocks] = block
      let own = prefix + "mamba_decoder."
      let mixer = SharedBlockMixer(
        block: block, adapters: try adapters(home, place, reader),
        bound: try AttentionBound(
          reader.context, positions: stack.transformer.positions, window: nil,
          bytesPerToken: hybrids.count * stack.transformer.attention.bytesPerToken),
        linear: try reader.weight(prefix + "linear.weight", outputs: shape.width, inner: shape.width),
        norm: try stack.norm(own + "input_layernorm.weight", from: reader),
        mamba: try Mamba2Mixer(mamba, prefix: own + "mamba.", from: reader))
      return [Block(layer: layer, norm: nil, mixer: mixer)]
    }
    result.carriesEmbedding = true
    return result
  }

  private func sharedBlock(_ prefix: String, _ reader: WeightReader) throws -> SharedBlockMixer.Block {
    let (width, sizes) = (shape.width, stack.transformer.attention)
    let (inner, feed) = (sizes.heads * sizes.headWidth, stack.transformer.feedForward)
    func weight(_ name: String, _ outputs: Int, _ inner: Int) throws -> Weight {
      try reader.weight(prefix + name + ".weight", outputs: outputs, inner: inner)
    }
    return SharedBlockMixer.Block(
      sizes: sizes,
      norm: try reader.rootMeanSquareNorm(
        prefix + "input_layernorm.weight", width: 2 * width, epsilon: stack.transformer.epsilon),
      feedNorm: try stack.norm(prefix + "pre_ff_layernorm.weight", from: reader), inner: feed.inner, activation: feed.activation,
      q: try weight("self_attn.q_proj", inner, 2 * width),
      k: try weight("self_attn.k_proj", sizes.keyHeads * sizes.headWidth, 2 * width),
      v: try weight("self_attn.v_proj", sizes.keyHeads * sizes.headWidth, 2 * width),
      output: try weight("self_attn.o_proj", width, inner), gateUp: try weight("feed_forward.gate_up_proj", 2 * feed.inner, width),
      down: try weight("feed_forward.down_proj", width, feed.inner))
  }

  /// The adapters of the `place`-th use of a block.
  private func adapters(_ prefix: String, _ place: Int, _ reader: WeightReader) throws -> SharedBlockMixer.Adapters {
    let (width, sizes) = (shape.width, stack.transformer.attention)
    func path(_ name: String, _ outputs: Int, _ inner: Int) throws -> LowRank {
      let own = "\(prefix)\(name)_adapter_list.\(place)."
      return LowRank(
        down: try reader.weight(own + "0.weight", outputs: rank, inner: inner),
        up: try reader.weight(own + "1.weight", outputs: outputs, inner: rank))
    }
    let keys = sizes.keyHeads * sizes.headWidth
    func attention(_ name: String, _ outputs: Int) throws -> LowRank? {
      hasAttentionAdapters ? try path("self_attn.linear_" + name, outputs, 2 * width) : nil
    }
    return SharedBlockMixer.Adapters(
      q: try attention("q", sizes.heads * sizes.headWidth), k: try attention("k", keys), v: try attention("v", keys),
      feed: try path("feed_forward.gate_up_proj", 2 * stack.transformer.feedForward.inner, width))
  }
}
