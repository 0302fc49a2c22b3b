import MeanderFiles

extension GGUFArchitecture {
  /// Mamba-2 in Hugging Face's names.
  static let mamba2 = GGUFArchitecture(
    "mamba2",
    tensors: [
      GGUFTensor("token_embd.weight", "backbone.embeddings.weight", alternative: "backbone.embedding.weight"),
      GGUFTensor("output_norm.weight", "backbone.norm_f.weight"), GGUFTensor("output.weight", "lm_head.weight"),
      GGUFTensor("blk.#.attn_norm.weight", "backbone.layers.#.norm.weight"),
    ] + GGUFTensor.mamba2("backbone.layers.#.mixer."),
    settings: { architecture in
      guard let model = architecture as? Mamba2 else { return nil }
      let shape = model.shape
      return [
        ("context_length", .count(shape.intent.trainedLength ?? 1 << 20)), ("embedding_length", .count(shape.width)),
        ("feed_forward_length", .count(0)), ("attention.head_count", .count(0)), ("block_count", .count(shape.layers)),
        ("attention.layer_norm_rms_epsilon", .number(Double(model.epsilon))), ("vocab_size", .count(shape.vocabulary)),
      ] + mamba2Settings(model.mixer)
    }
  ) { settings in
    let width = try settings.integer("embedding_length")
    let mamba = try GGUFMamba2(&settings)
    guard width > 0, mamba.inner.isMultiple(of: width) else {
      throw settings.failure("ssm.inner_size", "is \(mamba.inner), no multiple of the width of \(width)")
    }
    settings.ignore(["context_length", "feed_forward_length", "attention.head_count", "vocab_size"])
    return [
      ("model_type", .string("mamba2")), ("hidden_size", JSON(width)), ("expand", JSON(mamba.inner / width)),
      ("num_hidden_layers", JSON(try settings.layers())), ("vocab_size", JSON(try settings.vocabulary())),
      ("num_heads", JSON(mamba.heads)), ("head_dim", JSON(mamba.headWidth)), ("state_size", JSON(mamba.stateSize)),
      ("n_groups", JSON(mamba.groups)), ("conv_kernel", JSON(mamba.kernel)),
      ("layer_norm_epsilon", JSON(try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? 1e-5)),
      ("use_bias", .bool(settings.has("blk.0.ssm_in.bias"))),
      ("use_conv_bias", .bool(settings.has("blk.0.ssm_conv1d.bias"))),
      ("tie_word_embeddings", .bool(!settings.has("output.weight"))),
    ] + (mamba.limit.map { [("time_step_limit", $0)] } ?? [])
  }

  /// What files say of the sizes of a Mamba-2 layer.
  static func mamba2Settings(_ sizes: Mamba2Mixer.Sizes) -> Settings {
    let limit = sizes.timeStepLimit
    return [
      ("ssm.conv_kernel", .count(sizes.convolutionWidth)), ("ssm.inner_size", .count(sizes.inner)),
      ("ssm.state_size", .count(sizes.stateSize)), ("ssm.time_step_rank", .count(sizes.heads)),
      ("ssm.group_count", .count(sizes.groups)),
    ]
      + (limit == 0...Float.infinity
        ? [] : [("ssm.time_step_limit", .numbers([limit.lowerBound, limit.upperBound].map(Double.init)))])
  }
}

/// The sizes of a Mamba-2 layer as a file has them.
struct GGUFMamba2 {
  let inner, heads, stateSize, groups, kernel: Int
  /// Meander's own: other readers know no bounds of the time step.
  let limit: JSON?

  var headWidth: Int { inner / heads }

  init(_ settings: inout GGUFSettings) throws {
    inner = try settings.integer("ssm.inner_size")
    heads = try settings.integer("ssm.time_step_rank")
    guard heads > 0, inner > 0, inner.isMultiple(of: heads) else {
      throw settings.failure("ssm.inner_size", "is \(inner), which \(heads) heads cannot share")
    }
    stateSize = try settings.integer("ssm.state_size")
    groups = try settings.optionalInteger("ssm.group_count") ?? 1
    kernel = try settings.integer("ssm.conv_kernel")
    limit = try settings.optionalNumbers("ssm.time_step_limit").map { .array($0.map { JSON($0) }) }
  }

  /// The keys that hybrids have for them.
  func members(width: Int, _ settings: GGUFSettings, has layer: Int) -> [(String, JSON)] {
    [
      ("mamba_d_ssm", JSON(inner)), ("mamba_n_heads", JSON(heads)), ("mamba_d_head", JSON(headWidth)),
      ("mamba_d_state", JSON(stateSize)), ("mamba_n_groups", JSON(groups)), ("mamba_d_conv", JSON(kernel)),
      ("mamba_proj_bias", .bool(settings.has("blk.\(layer).ssm_in.bias"))),
      ("mamba_conv_bias", .bool(settings.has("blk.\(layer).ssm_conv1d.bias"))),
    ] + (limit.map { [("time_step_limit", $0)] } ?? [])
  }
}
