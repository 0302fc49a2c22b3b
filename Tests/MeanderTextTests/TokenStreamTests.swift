import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import Testing

/// The pieces of `bytes`, pushed in parts whose sizes `size` draws.
private func pieces(_ tokenizer: Tokenizer, _ bytes: [UInt8], size: () -> Int) -> [TokenPiece] {
  var encoder = tokenizer.makeEncoder()
  var pieces: [TokenPiece] = []
  var place = 0
  while place < bytes.count {
    let end = min(place + size(), bytes.count)
    encoder.push(bytes[place..<end], into: &pieces)
    place = end
  }
  encoder.finish(into: &pieces)
  return pieces
}

/// Text that holds what every stage stumbles over, at random places.
private func tangledText(_ length: Int, _ generator: inout SeededGenerator) -> [UInt8] {
  let atoms = [
    " ", "   ", "\n", "\r\n", "'s", "'LL", "word", " the", "12345", "é", "e\u{301}\u{323}", "\u{301}", "\u{1112}\u{1161}\u{11AB}",
    "ﬁ", "ﾊﾞ", "中文", "😀\u{200D}👩", "\u{3000}", "<|endoftext|>", "<mask>", "<tail>", "snake_case", "<think>", "</s>", "▁", "...",
  ]
  var bytes: [UInt8] = []
  while bytes.count < length {
    bytes += Array(atoms.randomElement(using: &generator)!.utf8)
    if Int.random(in: 0..<40, using: &generator) == 0 { bytes.append(UInt8.random(in: 0x80...0xFF, using: &generator)) }
  }
  return bytes
}

@Suite("Tokens do not depend on how the input came")
struct TokenStreamTests {
  @Test("every golden string, byte by byte and cut at random", arguments: TokenizerGoldens.names)
  func goldensAtEveryCut(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    var generator = SeededGenerator(seed: 1)
    for row in try TokenizerGoldens(name).rows {
      let bytes = Array(row.text.utf8)
      let whole = pieces(tokenizer, bytes) { bytes.count }
      #expect(pieces(tokenizer, bytes) { 1 } == whole, "\(name): \(row.text.debugDescription)")
      let cut = pieces(tokenizer, bytes) { Int.random(in: 1...5, using: &generator) }
      #expect(cut == whole, "\(name): \(row.text.debugDescription)")
      #expect(zip(whole, whole.dropFirst()).allSatisfy { $0.end <= $1.end })
      #expect(whole.allSatisfy { (0...Int64(bytes.count)).contains($0.end) })
    }
  }

  @Test("tangled text that is not all UTF-8", arguments: TokenizerGoldens.names)
  func tangledTextAtRandomCuts(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<40 {
      let bytes = tangledText(300, &generator)
      let whole = pieces(tokenizer, bytes) { bytes.count }
      for most in [1, 3, 30] {
        #expect(pieces(tokenizer, bytes) { Int.random(in: 1...most, using: &generator) } == whole, "\(name): \(bytes)")
      }
    }
  }

  @Test("what a push gives depends on the bytes so far alone", arguments: TokenizerGoldens.names)
  func whatIsSettledDoesNotDependOnCuts(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    var generator = SeededGenerator(seed: 3)
    let bytes = tangledText(400, &generator)
    var slow = tokenizer.makeEncoder()
    var settled: [TokenPiece] = []
    for count in bytes.indices {
      slow.push(bytes[count...count], into: &settled)
      guard count % 7 == 0 else { continue }
      var fast = tokenizer.makeEncoder()
      var atOnce: [TokenPiece] = []
      fast.push(bytes[...count], into: &atOnce)
      #expect(atOnce == settled, "\(name) after \(count + 1) bytes")
      #expect(fast.carry == slow.carry, "\(name) after \(count + 1) bytes")
    }
  }

  @Test("an encoder goes on from its carry", arguments: TokenizerGoldens.names)
  func carries(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    var generator = SeededGenerator(seed: 4)
    for _ in 0..<20 {
      let bytes = tangledText(300, &generator)
      let whole = pieces(tokenizer, bytes) { bytes.count }
      var encoder = tokenizer.makeEncoder()
      var resumed: [TokenPiece] = []
      var place = 0
      while place < bytes.count {
        let end = min(place + Int.random(in: 1...40, using: &generator), bytes.count)
        encoder.push(bytes[place..<end], into: &resumed)
        place = end
        #expect(encoder.consumed == Int64(end))
        let carry = try EncoderCarry(serialized: encoder.carry.serialized())
        #expect(carry == encoder.carry)
        encoder = try TokenEncoder(tokenizer: tokenizer, carry: carry)
      }
      encoder.finish(into: &resumed)
      #expect(resumed == whole, "\(name): \(bytes)")
    }
  }

  @Test("a carry of another tokenizer is refused")
  func foreignCarry() throws {
    let carry = try TokenizerGoldens.tokenizer("unigram-metaspace").makeEncoder().carry
    let other = try TokenizerGoldens.tokenizer("bpe-neox")
    #expect(throws: MeanderError.self) { try TokenEncoder(tokenizer: other, carry: carry) }
  }

  @Test("mutated carries are refused or used, and never trap")
  func mutatedCarries() throws {
    let tokenizer = try TokenizerGoldens.tokenizer("bpe-qwen")
    var encoder = tokenizer.makeEncoder()
    var pieces: [TokenPiece] = []
    encoder.push(Array("some text e\u{301}\u{323}  <mas".utf8), into: &pieces)
    let good = encoder.carry.serialized()
    var generator = SeededGenerator(seed: 5)
    var refused = 0
    for _ in 0..<10_000 {
      let bad = mutated(good, &generator)
      guard let carry = try? EncoderCarry(serialized: bad),
        var resumed = try? TokenEncoder(tokenizer: tokenizer, carry: carry)
      else {
        refused += 1
        continue
      }
      resumed.push(Array("k> and on".utf8), into: &pieces)
      resumed.finish(into: &pieces)
    }
    #expect(refused > 1000)
  }

  @Test("a word without end is cut every 64 KiB, in bounded memory", arguments: [
    ("bpe-neox", 160), ("bpe-llama3", 32), ("bpe-llama2", 32), ("unigram-metaspace", 32), ("sentencepiece-bpe", 32),
    ("rwkv-world", 160),
  ])
  func endlessWord(_ name: String, _ parts: Int) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    let part = [UInt8](repeating: UInt8(ascii: "a"), count: 65_536)
    var encoder = tokenizer.makeEncoder()
    var pieces: [TokenPiece] = []
    var tokens = 0
    var longestCarry = 0
    for index in 0..<parts {
      encoder.push(part[..<(65_536 - index % 3)], into: &pieces)
      longestCarry = max(longestCarry, encoder.carry.serialized().count)
      tokens += pieces.count
      pieces.removeAll(keepingCapacity: true)
    }
    encoder.finish(into: &pieces)
    #expect(encoder.consumed > Int64(parts) * 65_000)
    #expect(tokens > parts * 7_000, "tokens come while the word goes on")
    #expect(longestCarry < 3 * 65_536, "what is held back is bounded")
  }

  @Test("the cuts of a long word are fixed by the stream")
  func longWordIsCutFromItsBeginning() throws {
    let tokenizer = try TokenizerGoldens.tokenizer("bpe-smollm")
    let word = [UInt8](repeating: UInt8(ascii: "a"), count: 65_536)
    let rest = Array("aab é".utf8)
    let expected = tokenizer.encode(Array("So ".utf8)).dropLast() + tokenizer.encode([0x20] + word.dropLast())
      + tokenizer.encode([UInt8(ascii: "a")] + rest)
    #expect(tokenizer.encode(Array("So ".utf8) + word + rest) == Array(expected))
  }

  @Test("bytes that are not UTF-8 pass as they are where the vocabulary knows bytes", arguments: [
    "bpe-smollm", "bpe-llama3", "rwkv-world",
  ])
  func bytesPass(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    var generator = SeededGenerator(seed: 6)
    for _ in 0..<200 {
      let bytes = (0..<50).map { _ in UInt8.random(in: 0x70...0xFF, using: &generator) }
      #expect(tokenizer.encode(bytes).flatMap(tokenizer.bytes) == bytes)
    }
    #expect(Tokenizer.bytes.encode([0, 255, 128]) == [0, 255, 128])
  }

  @Test("elsewhere they become U+FFFD", arguments: ["bpe-llama2", "unigram-metaspace", "sentencepiece-unigram"])
  func bytesAreReplaced(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    let bytes = Array("ok ".utf8) + [0xF0, 0x9F, 0x98] + Array(" then ".utf8) + [0xFF, 0xC3]
    #expect(tokenizer.encode(bytes) == tokenizer.encode(String(decoding: bytes, as: UTF8.self)))
  }

  @Test("text leaves a decoder as whole scalars, and goes on from its carry", arguments: TokenizerGoldens.names)
  func decoders(_ name: String) throws {
    let tokenizer = try TokenizerGoldens.tokenizer(name)
    for row in try TokenizerGoldens(name).rows where !row.ids.isEmpty {
      let whole = tokenizer.decode(row.ids)
      var decoder = tokenizer.makeDecoder(skippingSpecial: false)
      var text = ""
      for id in row.ids {
        text += decoder.push(id)
        decoder = TokenDecoder(tokenizer: tokenizer, carry: try DecoderCarry(serialized: decoder.carry.serialized()))
        #expect(Array(whole.utf8).starts(with: text.utf8), "\(name): \(row.ids)")
      }
      #expect(sameText(text + decoder.finish(), whole), "\(name): \(row.ids)")
    }
  }
}
