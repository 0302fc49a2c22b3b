import MeanderErrors
import MeanderFiles

extension GGUFArchitecture {
  /// RWKV-6, in its authors' names.
  static let rwkv6: GGUFArchitecture = {
    let time = "blocks.#.att."
    let mixes = ["w", "k", "v", "r", "g"].enumerated().map { index, name in
      GGUFTensor("blk.#.time_mix_lerp_fused.weight", "\(time)time_maa_\(name)", .slice(index, of: 5))
    }
    return GGUFArchitecture(
      "rwkv6",
      tensors: GGUFTensor.rwkv + mixes + [
        GGUFTensor("blk.#.time_mix_lerp_x.weight", time + "time_maa_x", .squeezed),
        GGUFTensor("blk.#.time_mix_w1.weight", time + "time_maa_w1", .turned),
        GGUFTensor("blk.#.time_mix_w2.weight", time + "time_maa_w2", .turned),
        GGUFTensor("blk.#.time_mix_decay.weight", time + "time_decay", .squeezed),
        GGUFTensor("blk.#.time_mix_decay_w1.weight", time + "time_decay_w1", .turned),
        GGUFTensor("blk.#.time_mix_decay_w2.weight", time + "time_decay_w2", .turned),
        GGUFTensor("blk.#.time_mix_first.weight", time + "time_faaaa"),
        GGUFTensor("blk.#.time_mix_gate.weight", time + "gate.weight"),
        GGUFTensor("blk.#.channel_mix_lerp_k.weight", "blocks.#.ffn.time_maa_k", .squeezed),
        GGUFTensor("blk.#.channel_mix_lerp_r.weight", "blocks.#.ffn.time_maa_r", .squeezed),
        GGUFTensor("blk.#.channel_mix_receptance.weight", "blocks.#.ffn.receptance.weight"),
      ],
      settings: { architecture in
        guard let model = architecture as? RWKV6 else { return nil }
        return rwkvSettings(model.shape, epsilon: 1e-5, inner: model.inner, headSize: model.time.headSize) + [
          ("time_mix_extra_dim", .count(model.time.mixRank)), ("time_decay_extra_dim", .count(model.time.decayRank)),
          ("rescale_every_n_layers", .count(model.rescale)),
        ]
      }
    ) { settings in
      let epsilon = try settings.optionalFloat("attention.layer_norm_epsilon") ?? 1e-5
      guard Float(epsilon) == 1e-5 else {
        throw settings.unsupported("attention.layer_norm_epsilon", "is \(epsilon), which is not understood")
      }
      return try rwkvMembers(&settings, "rwkv6", headKey: "head_size") + [
        ("mix_rank", JSON(try settings.integer("time_mix_extra_dim"))),
        ("decay_rank", JSON(try settings.integer("time_decay_extra_dim"))),
        ("rescale_every", JSON(try settings.optionalInteger("rescale_every_n_layers") ?? 0)),
      ]
    }
  }()

  /// RWKV-7, in its authors' names and in Hugging Face's.
  static let rwkv7: GGUFArchitecture = {
    let mixes = ["r", "w", "k", "v", "a", "g"].enumerated().flatMap { index, name in
      ["blocks.#.att.x_", "model.layers.#.attn.x_"].map {
        GGUFTensor("blk.#.time_mix_lerp_fused.weight", $0 + name, .slice(index, of: 6))
      }
    }
    let paths = ["w", "a", "v", "g"].flatMap { name in
      let (stored, own, other) = ("blk.#.time_mix_\(name)", "blocks.#.att.\(name)", "model.layers.#.attn.\(name)_lora.lora.")
      return [
        GGUFTensor("\(stored)0.weight", own + "0", .squeezed), GGUFTensor("\(stored)0.weight", other + "2.bias"),
        GGUFTensor("\(stored)1.weight", own + "1", .turned), GGUFTensor("\(stored)1.weight", other + "0.weight"),
        GGUFTensor("\(stored)2.weight", own + "2", .turned), GGUFTensor("\(stored)2.weight", other + "2.weight"),
      ]
    }
    let rows = ["k_k", "k_a"].flatMap { name in
      [
        GGUFTensor("blk.#.time_mix_\(name).weight", "blocks.#.att.\(name)", .squeezed),
        GGUFTensor("blk.#.time_mix_\(name).weight", "model.layers.#.attn.\(name)"),
      ]
    }
    var names = GGUFArchitecture(
      "rwkv7",
      tensors: GGUFTensor.rwkv + GGUFTensor.rwkvOfHuggingFace + mixes + paths + rows + [
        GGUFTensor("blk.#.time_mix_r_k.weight", "blocks.#.att.r_k", .flat, alternative: "model.layers.#.attn.r_k"),
        GGUFTensor("blk.#.channel_mix_lerp_k.weight", "blocks.#.ffn.x_k", .squeezed),
        GGUFTensor("blk.#.channel_mix_lerp_k.weight", "model.layers.#.ffn.x_k"),
      ],
      settings: { architecture in
        guard let model = architecture as? RWKV7 else { return nil }
        guard model.groupEpsilon == 64e-5, !model.isTied else {
          throw MeanderError(
            .unsupported, "its group norm's ε is \(model.groupEpsilon), and GGUF's RWKV-7 knows 0.00064 alone, untied",
            at: "the model")
        }
        let ranks = [("decay", "w"), ("iclr", "a"), ("value_residual_mix", "v"), ("gate", "g")]
        return rwkvSettings(model.shape, epsilon: Double(model.epsilon), inner: model.inner, headSize: model.headSize)
          + ranks.map { ("attention.\($0)_lora_rank", .count(model.ranks[$1] ?? 0)) }
      }
    ) { settings in
      let ranks = [("decay", "decay"), ("iclr", "a"), ("value_residual_mix", "v"), ("gate", "gate")]
      return try rwkvMembers(&settings, "rwkv7", headKey: "head_dim")
        + [("norm_eps", JSON(try settings.optionalFloat("attention.layer_norm_epsilon") ?? 1e-5))]
        + ranks.map { ("\($1)_low_rank_dim", JSON(try settings.integer("attention.\($0)_lora_rank"))) }
    }
    // The first layer has no such path; files hold another in its place.
    names.copies = (0...2).map { ("blk.0.time_mix_v\($0).weight", "blk.0.time_mix_a\($0).weight") }
    return names
  }()

  private static func rwkvSettings(_ shape: LanguageShape, epsilon: Double, inner: Int, headSize: Int) -> Settings {
    [
      ("context_length", .count(shape.intent.trainedLength ?? 1 << 20)), ("embedding_length", .count(shape.width)),
      ("block_count", .count(shape.layers)), ("attention.layer_norm_epsilon", .number(epsilon)),
      ("wkv.head_size", .count(headSize)), ("feed_forward_length", .count(inner)), ("attention.head_count", .count(0)),
      ("vocab_size", .count(shape.vocabulary)),
    ]
  }

  private static func rwkvMembers(
    _ settings: inout GGUFSettings, _ type: String, headKey: String
  ) throws -> [(String, JSON)] {
    settings.ignore(["context_length", "attention.head_count", "vocab_size"])
    try settings.require("token_shift_count", 2)
    return [
      ("model_type", .string(type)), ("original_layout", .bool(true)),
      ("hidden_size", JSON(try settings.integer("embedding_length"))), ("vocab_size", JSON(try settings.vocabulary())),
      (headKey, JSON(try settings.integer("wkv.head_size"))),
      ("intermediate_size", JSON(try settings.integer("feed_forward_length"))),
      ("num_hidden_layers", JSON(try settings.layers())),
    ]
  }
}

extension GGUFTensor {
  /// What RWKV's models share, in their authors' names.
  fileprivate static let rwkv: [GGUFTensor] =
    [
      GGUFTensor("token_embd.weight", "emb.weight"), GGUFTensor("output.weight", "head.weight"),
      GGUFTensor("blk.#.channel_mix_key.weight", "blocks.#.ffn.key.weight"),
      GGUFTensor("blk.#.channel_mix_value.weight", "blocks.#.ffn.value.weight"),
    ]
    + both([
      ("token_embd_norm", "blocks.0.ln0"), ("output_norm", "ln_out"), ("blk.#.attn_norm", "blocks.#.ln1"),
      ("blk.#.attn_norm_2", "blocks.#.ln2"), ("blk.#.time_mix_ln", "blocks.#.att.ln_x"),
    ])
    + ["key", "value", "receptance", "output"].map { GGUFTensor("blk.#.time_mix_\($0).weight", "blocks.#.att.\($0).weight") }

  /// The same of RWKV-7 in Hugging Face's names.
  fileprivate static let rwkvOfHuggingFace: [GGUFTensor] =
    [
      GGUFTensor("token_embd.weight", "model.embeddings.weight"), GGUFTensor("output.weight", "lm_head.weight"),
      GGUFTensor("blk.#.channel_mix_key.weight", "model.layers.#.ffn.key.weight"),
      GGUFTensor("blk.#.channel_mix_value.weight", "model.layers.#.ffn.value.weight"),
    ]
    + both([
      ("token_embd_norm", "model.layers.0.pre_norm"), ("output_norm", "model.norm"),
      ("blk.#.attn_norm", "model.layers.#.attn_norm"), ("blk.#.attn_norm_2", "model.layers.#.ffn_norm"),
      ("blk.#.time_mix_ln", "model.layers.#.attn.g_norm"),
    ])
    + [("key", "k"), ("value", "v"), ("receptance", "r"), ("output", "o")].map {
      GGUFTensor("blk.#.time_mix_\($0).weight", "model.layers.#.attn.\($1)_proj.weight")
    }

  /// Layer norms have both.
  private static func both(_ names: [(String, String)]) -> [GGUFTensor] {
    names.flatMap { stored, name in ["weight", "bias"].map { GGUFTensor("\(stored).\($0)", "\(name).\($0)") } }
  }
}
