import MeanderFiles

extension GGUFArchitecture {
  /// Mamba-2 in Hugging Face's names.
  static let mamba2 = GGUFArchitecture(
    "mamba2",
    tensors: [
      Tensor("token_embd.weight", "backbone.embeddings.weight", alternative: "backbone.embedding.weight"),
      Tensor("output_norm.weight", "backbone.norm_f.weight"),
      Tensor("output.weight", "lm_head.weight"),
      Tensor("blk.#.attn_norm.weight", "backbone.layers.#.norm.weight"),
      Tensor("blk.#.ssm_in.weight", "backbone.layers.#.mixer.in_proj.weight"),
      Tensor("blk.#.ssm_in.bias", "backbone.layers.#.mixer.in_proj.bias"),
      Tensor("blk.#.ssm_conv1d.weight", "backbone.layers.#.mixer.conv1d.weight", .convolution),
      Tensor("blk.#.ssm_conv1d.bias", "backbone.layers.#.mixer.conv1d.bias"),
      Tensor("blk.#.ssm_dt.bias", "backbone.layers.#.mixer.dt_bias"),
      Tensor("blk.#.ssm_a", "backbone.layers.#.mixer.A_log", .logarithm),
      Tensor("blk.#.ssm_d", "backbone.layers.#.mixer.D", .column),
      Tensor("blk.#.ssm_norm.weight", "backbone.layers.#.mixer.norm.weight", .groups),
      Tensor("blk.#.ssm_out.weight", "backbone.layers.#.mixer.out_proj.weight"),
      Tensor("blk.#.ssm_out.bias", "backbone.layers.#.mixer.out_proj.bias"),
    ],
    settings: { architecture in
      guard let model = architecture as? Mamba2 else { return nil }
      let (shape, mixer) = (model.shape, model.mixer)
      return [
        ("context_length", .count(shape.intent.trainedLength ?? 1 << 20)), ("embedding_length", .count(shape.width)),
        ("feed_forward_length", .count(0)), ("attention.head_count", .count(0)), ("block_count", .count(shape.layers)),
        ("ssm.conv_kernel", .count(mixer.convolutionWidth)), ("ssm.inner_size", .count(mixer.inner)),
        ("ssm.state_size", .count(mixer.stateSize)), ("ssm.time_step_rank", .count(mixer.heads)),
        ("ssm.group_count", .count(mixer.groups)), ("attention.layer_norm_rms_epsilon", .number(Double(model.epsilon))),
        ("vocab_size", .count(shape.vocabulary)),
      ]
        + (mixer.timeStepLimit == 0...Float.infinity
          ? []
          : [("ssm.time_step_limit", .numbers([mixer.timeStepLimit.lowerBound, mixer.timeStepLimit.upperBound].map(Double.init)))])
    }
  ) { settings in
    let width = try settings.integer("embedding_length")
    let inner = try settings.integer("ssm.inner_size")
    let heads = try settings.integer("ssm.time_step_rank")
    guard width > 0, heads > 0, inner.isMultiple(of: heads), inner.isMultiple(of: width) else {
      throw settings.failure("ssm.inner_size", "is \(inner), of which \(heads) heads and a width of \(width) make no model")
    }
    settings.ignore(["context_length", "feed_forward_length", "attention.head_count", "vocab_size"])
    return [
      ("model_type", .string("mamba2")), ("hidden_size", JSON(width)), ("expand", JSON(inner / width)),
      ("num_hidden_layers", JSON(try settings.integer("block_count"))), ("vocab_size", JSON(try settings.vocabulary())),
      ("num_heads", JSON(heads)), ("head_dim", JSON(inner / heads)),
      ("state_size", JSON(try settings.integer("ssm.state_size"))),
      ("n_groups", JSON(try settings.optionalInteger("ssm.group_count") ?? 1)),
      ("conv_kernel", JSON(try settings.integer("ssm.conv_kernel"))),
      ("layer_norm_epsilon", JSON(try settings.optionalFloat("attention.layer_norm_rms_epsilon") ?? 1e-5)),
      ("use_bias", .bool(settings.has("blk.0.ssm_in.bias"))),
      ("use_conv_bias", .bool(settings.has("blk.0.ssm_conv1d.bias"))),
      ("tie_word_embeddings", .bool(!settings.has("output.weight"))),
    ]
      // Meander's own: other readers know no bounds of the time step.
      + (try settings.optionalNumbers("ssm.time_step_limit").map { [("time_step_limit", .array($0.map { JSON($0) }))] } ?? [])
  }
}
