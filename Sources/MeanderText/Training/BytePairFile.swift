import MeanderFiles

/// A byte-level BPE vocabulary as a `tokenizer.json`.
struct BytePairFile {
  let special: [String]
  let splitting: BytePairTrainer.Splitting
  /// Pairs of ids: special tokens first, then the bytes in `byteOrder`, then one id for each pair.
  let merges: [(Int32, Int32)]

  /// The bytes in the order of the scalars that spell them, which is the order of their ids.
  static let byteOrder: [UInt8] = (0...255).sorted {
    ByteLevelAlphabet.scalars[Int($0)] < ByteLevelAlphabet.scalars[Int($1)]
  }

  var json: JSON {
    let pieces = pieces
    let byteLevel: [(String, JSON)] = [
      ("type", .string("ByteLevel")), ("add_prefix_space", .bool(false)), ("trim_offsets", .bool(true)),
      ("use_regex", .bool(true)),
    ]
    let digits = JSON([("type", .string("Digits")), ("individual_digits", .bool(true))])
    let splitter = splitting == .gpt2
      ? JSON(byteLevel)
      : JSON([("type", .string("Sequence")), ("pretokenizers", .array([digits, JSON(byteLevel)]))])
    return JSON([
      ("version", .string("1.0")), ("truncation", .null), ("padding", .null), ("added_tokens", .array(addedTokens)),
      ("normalizer", .null), ("pre_tokenizer", splitter), ("post_processor", .null), ("decoder", JSON(byteLevel)),
      (
        "model",
        JSON([
          ("type", .string("BPE")), ("dropout", .null), ("unk_token", .null), ("continuing_subword_prefix", .null),
          ("end_of_word_suffix", .null), ("fuse_unk", .bool(false)), ("byte_fallback", .bool(false)),
          ("ignore_merges", .bool(false)),
          ("vocab", JSON(pieces.enumerated().map { ($1, JSON($0)) })),
          (
            "merges",
            .array(merges.map { .array([.string(pieces[Int($0.0)]), .string(pieces[Int($0.1)])]) })
          ),
        ])
      ),
    ])
  }

  private var addedTokens: [JSON] {
    special.enumerated().map { id, text in
      JSON([
        ("id", JSON(id)), ("content", .string(text)), ("single_word", .bool(false)), ("lstrip", .bool(false)),
        ("rstrip", .bool(false)), ("normalized", .bool(false)), ("special", .bool(true)),
      ])
    }
  }

  /// Every entry as the file spells it, by id.
  private var pieces: [String] {
    var pieces = special
    for byte in Self.byteOrder {
      pieces.append(Unicode.Scalar(ByteLevelAlphabet.scalars[Int(byte)]).map { String(Character($0)) } ?? "")
    }
    for (left, right) in merges { pieces.append(pieces[Int(left)] + pieces[Int(right)]) }
    return pieces
  }
}
