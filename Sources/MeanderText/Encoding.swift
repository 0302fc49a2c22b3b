/// How a tokenizer turns text into ids: the stages that text passes, in their order.
struct Encoding: Sendable {
  /// Tokens matched in the text as it came.
  var verbatimTokens = AddedTokens([])
  var normalizer = Normalizer()
  /// Tokens matched in normalized text.
  var normalizedTokens = AddedTokens([])
  /// What is done to each stretch between tokens: a Metaspace's replacements.
  var stretches = Normalizer()
  var model: Model
  var cutter: Cutter

  init(model: Model, cutter: Cutter) {
    self.model = model
    self.cutter = cutter
  }

  /// How a stretch of text is cut into the words that the model sees.
  enum Cutter: Sendable {
    /// By a byte-level vocabulary's rule.
    case words(WordScanner)
    /// Before every `▁`.
    case marks
    /// Where no piece could span.
    case neighbors(Neighbors)
    /// Not at all: the model reads on as far as it must.
    case whole
  }

  enum Model: Sendable {
    case byteLevel(ByteLevelModel)
    case characters(CharacterModel)
    case unigram(UnigramModel, fallback: ByteFallback?, fusesUnknown: Bool)
    /// The longest piece that fits, again and again.
    case greedy(ByteTrie)
    case bytes
  }

  /// The model knows every byte, so that text need not be UTF-8.
  var takesAnyBytes: Bool {
    switch model {
    case .byteLevel, .greedy, .bytes: true
    case .characters, .unigram: false
    }
  }

  /// Bytes are looked at one by one, not scalar by scalar.
  var readsBytes: Bool {
    switch model {
    case .greedy, .bytes: true
    case .byteLevel, .characters, .unigram: false
    }
  }

  /// Scalar by scalar work has to be done between the input and the cutter.
  var isVerbatim: Bool { takesAnyBytes && normalizer.steps.isEmpty }
}

/// Byte-pair encoding over bytes (GPT-2's).
struct ByteLevelModel: Sendable {
  var merges: MergeModel
  /// The id of each byte; -1 where the vocabulary lacks it, and the byte is passed over.
  var symbols: [Int32]
  /// Words that are pieces by themselves are taken whole (`ignore_merges`).
  var wholeWords: PieceTable?

  func encode(_ text: [UInt8], _ word: Range<Int>, _ scratch: inout MergeModel.Scratch) {
    scratch.symbols.removeAll(keepingCapacity: true)
    if let id = wholeWords?.id(of: text[word]) {
      scratch.symbols.append(MergeModel.Symbol(id: id, length: Int32(word.count)))
      return
    }
    var passedOver: Int32 = 0
    for byte in text[word] {
      let id = symbols[Int(byte)]
      if id < 0 {
        passedOver += 1
        continue
      }
      scratch.symbols.append(MergeModel.Symbol(id: id, length: 1 + passedOver))
      passedOver = 0
    }
    merges.merge(&scratch)
  }
}

/// The ids of the 256 byte pieces `<0x00>` to `<0xFF>`, for what no other piece covers.
struct ByteFallback: Sendable {
  var ids: [Int32]
}

/// Byte-pair encoding over scalars (sentencepiece's, and files made from it).
struct CharacterModel: Sendable {
  var merges: MergeModel
  /// (0, scalar) to id.
  var symbols: PairTable
  var fallback: ByteFallback?
  var unknown: Int32?
  /// Neighboring scalars that are unknown become one token.
  var fusesUnknown: Bool

  func encode(_ text: [UInt8], _ word: Range<Int>, _ scratch: inout MergeModel.Scratch) {
    scratch.symbols.removeAll(keepingCapacity: true)
    var place = word.lowerBound
    while place < word.upperBound {
      let step = readScalar(text, place)
      let end = min(place + step.length, word.upperBound)
      if let id = symbols[PairTable.key(0, step.value)] {
        scratch.symbols.append(MergeModel.Symbol(id: Int32(truncatingIfNeeded: id), length: Int32(end - place)))
      } else if let fallback {
        for byte in text[place..<end] {
          scratch.symbols.append(MergeModel.Symbol(id: fallback.ids[Int(byte)], length: 1))
        }
      } else if let unknown {
        if fusesUnknown, let last = scratch.symbols.indices.last, scratch.symbols[last].id == unknown {
          scratch.symbols[last].length += Int32(end - place)
        } else {
          scratch.symbols.append(MergeModel.Symbol(id: unknown, length: Int32(end - place)))
        }
      }
      place = end
    }
    merges.merge(&scratch)
  }
}
