import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import Testing

/// A small `tokenizer.json` of every part that can be read; `{…}` are filled in.
private func file(
  preTokenizer: String = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#,
  normalizer: String = #"{"type": "NFC"}"#, merges: String = #"["a b", ["ab", "c"]]"#, extra: String = ""
) -> FileBytes {
  let text = """
    {"added_tokens": [{"id": 6, "content": "<|end|>", "special": true, "normalized": false, "lstrip": true}\(extra)],
     "normalizer": \(normalizer), "pre_tokenizer": \(preTokenizer),
     "post_processor": {"type": "TemplateProcessing", "single": [{"Sequence": {"id": "A", "type_id": 0}},
       {"SpecialToken": {"id": "<|end|>", "type_id": 0}}],
       "special_tokens": {"<|end|>": {"id": "<|end|>", "ids": [6], "tokens": ["<|end|>"]}}},
     "decoder": {"type": "ByteLevel"},
     "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "c": 2, "ab": 3, "abc": 4, "\u{120}": 5}, "merges": \(merges)}}
    """
  return FileBytes(Array(text.utf8), path: "tokenizer.json")
}

/// The first pieces of a sentencepiece model, and all that is not a piece.
private func firstPieces(_ count: Int, of model: [UInt8]) -> [UInt8] {
  var result: [UInt8] = []
  var place = 0
  var seen = 0
  while place < model.count {
    var header = place + 1
    var length = 0
    var shift = 0
    repeat {
      length |= Int(model[header] & 0x7F) << shift
      shift += 7
      header += 1
    } while model[header - 1] & 0x80 != 0
    let isPiece = model[place] == 0x0A
    if !isPiece || seen < count { result += model[place..<header + length] }
    if isPiece { seen += 1 }
    place = header + length
  }
  return result
}

@Suite("Tokenizer files")
struct TokenizerFileTests {
  @Test func aSmallFileIsRead() throws {
    let tokenizer = try Tokenizer.reading(file())
    #expect(tokenizer.encode("abc  <|end|>ab") == [4, 6, 3])
    #expect(tokenizer.encode("ab", special: true) == [3, 6])
    #expect(tokenizer.vocabularyCount == 7)
    #expect(tokenizer.id(of: "Ġ") == 5)
    #expect(tokenizer.bytes(of: 5) == [0x20])
    #expect(tokenizer.bytes(of: 99) == [])
    #expect(tokenizer.endOfText == [6])
    #expect(tokenizer.decode([4, 5, 6], skippingSpecial: true) == "abc ")
  }

  @Test("what is not understood is refused by name", arguments: [
    (file(preTokenizer: #"{"type": "BertPreTokenizer"}"#), "BertPreTokenizer"),
    (
      file(
        preTokenizer: #"""
          {"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "\\w+x"}, "behavior": "Isolated"},
           {"type": "ByteLevel", "use_regex": false}]}
          """#), #"\w+x"#
    ),
    (file(normalizer: #"{"type": "Lowercase"}"#), "Lowercase"),
    (file(merges: #"["a z"]"#), "merge 0"),
    (file(merges: #"["a c"]"#), "merge 0"),
    (file(extra: #", {"id": 4, "content": "other"}"#), "id 4"),
    (file(extra: #", {"id": 4000000000, "content": "other"}"#), "added token"),
  ])
  func refusals(_ file: FileBytes, _ name: String) {
    do {
      _ = try Tokenizer.reading(file)
      Issue.record("it was read")
    } catch let error as MeanderError {
      #expect([.badData, .unsupported].contains(error.code))
      #expect(error.description.contains(name), "\(error)")
      #expect(error.description.contains("tokenizer.json"), "\(error)")
    } catch {
      Issue.record("\(error)")
    }
  }

  @Test func aModelOfBytesNeedsNoFile() throws {
    let folder = Fixture.path("../../Models/passkey")
    #expect(try Tokenizer.load(ModelFiles(folder: folder)).kind == "bytes")
    #expect(throws: MeanderError.self) { try Tokenizer.load(ModelFiles(folder: Fixture.path("tokenizers"))) }
  }

  @Test("ten thousand mutated files are read or refused", arguments: ["tokenizer.json", "tokenizer.model", "rwkv_vocab.txt"])
  func mutations(_ name: String) throws {
    let good: [UInt8]
    switch name {
    case "tokenizer.json":
      good = file().copy()
    case "tokenizer.model":
      good = firstPieces(300, of: try Fixture.bytes("tokenizers/sentencepiece-bpe/tokenizer.model").copy())
    default:
      let all = try Fixture.bytes("tokenizers/rwkv-world/rwkv_vocab_v20230424.txt").copy()
      good = Array(all.split(separator: 0x0A).prefix(300).joined(separator: [0x0A]))
    }
    #expect(try !Tokenizer.reading(FileBytes(good, path: name)).encode("a b").isEmpty)
    var generator = SeededGenerator(seed: 7)
    var refused = 0
    for _ in 0..<10_000 {
      do {
        let tokenizer = try Tokenizer.reading(FileBytes(mutated(good, &generator), path: name))
        _ = tokenizer.decode(tokenizer.encode("abc  <|end|>ab é\n"))
      } catch let error as MeanderError {
        #expect([.badData, .unsupported].contains(error.code))
        refused += 1
      }
    }
    #expect(refused > 1000)
  }
}
