import MeanderFiles

extension GGUFArchitecture {
  /// Mamba, and Falcon-Mamba, whose files say that dt, B and C are normalised.
  static let mamba = GGUFArchitecture(
    "mamba",
    tensors: [
      GGUFTensor("token_embd.weight", "backbone.embeddings.weight", alternative: "backbone.embedding.weight"),
      GGUFTensor("output_norm.weight", "backbone.norm_f.weight"), GGUFTensor("output.weight", "lm_head.weight"),
      GGUFTensor("blk.#.attn_norm.weight", "backbone.layers.#.norm.weight"),
    ] + GGUFTensor.mamba1("backbone.layers.#.mixer."),
    settings: { architecture in
      let falcon = architecture as? FalconMamba
      guard let model = falcon?.mamba ?? (architecture as? Mamba1) else { return nil }
      return [
        ("context_length", .count(model.shape.intent.trainedLength ?? 1 << 20)), ("embedding_length", .count(model.shape.width)),
        ("feed_forward_length", .count(0)), ("attention.head_count", .count(0)), ("block_count", .count(model.shape.layers)),
        ("attention.layer_norm_rms_epsilon", .number(Double(model.epsilon))), ("vocab_size", .count(model.shape.vocabulary)),
        ("ssm.dt_b_c_rms", .bool(falcon != nil)),
      ] + mamba1Settings(model.mixer)
        + (falcon.map { [("ssm.dt_b_c_rms_epsilon", .number(Double($0.selectionEpsilon)))] } ?? [])
    }
  ) { settings in
    let width = try settings.integer("embedding_length")
    let epsilon = try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? 1e-5
    let isFalcon = try settings.optionalBool("ssm.dt_b_c_rms") ?? false
    settings.ignore(["context_length", "feed_forward_length", "attention.head_count", "vocab_size"])
    // Meander's own; other readers take the other norms' number.
    let own = try settings.optionalFloat("ssm.dt_b_c_rms_epsilon") ?? epsilon
    return [
      ("model_type", .string(isFalcon ? "falcon_mamba" : "mamba")), ("hidden_size", JSON(width)),
      ("num_hidden_layers", JSON(try settings.layers())), ("vocab_size", JSON(try settings.vocabulary())),
      ("intermediate_size", JSON(try settings.integer("ssm.inner_size"))),
      ("state_size", JSON(try settings.integer("ssm.state_size"))),
      ("time_step_rank", JSON(try settings.integer("ssm.time_step_rank"))),
      ("conv_kernel", JSON(try settings.integer("ssm.conv_kernel"))), ("layer_norm_epsilon", JSON(epsilon)),
      ("use_bias", .bool(settings.has("blk.0.ssm_in.bias"))), ("use_conv_bias", .bool(settings.has("blk.0.ssm_conv1d.bias"))),
      ("tie_word_embeddings", .bool(!settings.has("output.weight"))),
    ] + (isFalcon ? [("mixer_rms_eps", JSON(own))] : [])
  }

  /// What files say of the sizes of a Mamba layer.
  static func mamba1Settings(_ sizes: Mamba1Mixer.Sizes) -> Settings {
    [
      ("ssm.conv_kernel", .count(sizes.convolutionWidth)), ("ssm.inner_size", .count(sizes.inner)),
      ("ssm.state_size", .count(sizes.stateSize)), ("ssm.time_step_rank", .count(sizes.timeStepRank)),
    ]
  }
}

extension GGUFTensor {
  /// The tensors of a Mamba layer whose names begin with `prefix`.
  static func mamba1(_ prefix: String) -> [GGUFTensor] {
    [
      GGUFTensor("blk.#.ssm_in.weight", prefix + "in_proj.weight"), GGUFTensor("blk.#.ssm_in.bias", prefix + "in_proj.bias"),
      GGUFTensor("blk.#.ssm_conv1d.weight", prefix + "conv1d.weight", .squeezed),
      GGUFTensor("blk.#.ssm_conv1d.bias", prefix + "conv1d.bias"), GGUFTensor("blk.#.ssm_x.weight", prefix + "x_proj.weight"),
      GGUFTensor("blk.#.ssm_dt.weight", prefix + "dt_proj.weight"), GGUFTensor("blk.#.ssm_dt.bias", prefix + "dt_proj.bias"),
      GGUFTensor("blk.#.ssm_dt_norm.weight", prefix + "dt_layernorm.weight"),
      GGUFTensor("blk.#.ssm_b_norm.weight", prefix + "b_layernorm.weight"),
      GGUFTensor("blk.#.ssm_c_norm.weight", prefix + "c_layernorm.weight"),
      GGUFTensor("blk.#.ssm_a", prefix + "A_log", .logarithm), GGUFTensor("blk.#.ssm_d", prefix + "D"),
      GGUFTensor("blk.#.ssm_out.weight", prefix + "out_proj.weight"), GGUFTensor("blk.#.ssm_out.bias", prefix + "out_proj.bias"),
    ]
  }

  /// The tensors of a Mamba-2 layer whose names begin with `prefix`.
  static func mamba2(_ prefix: String) -> [GGUFTensor] {
    [
      GGUFTensor("blk.#.ssm_in.weight", prefix + "in_proj.weight"), GGUFTensor("blk.#.ssm_in.bias", prefix + "in_proj.bias"),
      GGUFTensor("blk.#.ssm_conv1d.weight", prefix + "conv1d.weight", .squeezed),
      GGUFTensor("blk.#.ssm_conv1d.bias", prefix + "conv1d.bias"), GGUFTensor("blk.#.ssm_dt.bias", prefix + "dt_bias"),
      GGUFTensor("blk.#.ssm_a", prefix + "A_log", .logarithmColumn), GGUFTensor("blk.#.ssm_d", prefix + "D", .column),
      GGUFTensor("blk.#.ssm_norm.weight", prefix + "norm.weight", .groups),
      GGUFTensor("blk.#.ssm_out.weight", prefix + "out_proj.weight"), GGUFTensor("blk.#.ssm_out.bias", prefix + "out_proj.bias"),
    ]
  }
}
