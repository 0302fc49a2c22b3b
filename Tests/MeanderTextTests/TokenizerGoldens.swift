import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import MeanderText
import Synchronization

/// What the reference tokenizers make of a few hundred strings: `golden.json` of a tokenizer's fixture.
struct TokenizerGoldens {
  struct Row {
    var text: String
    var ids: [Int32]
    var idsWithSpecial: [Int32]?
    var decoded: String?
    var decodedSkippingSpecial: String?
  }

  let rows: [Row]
  /// Arbitrary ids with what they decode to.
  let decodings: [(ids: [Int32], decoded: String)]
  /// An id list, and what each of its beginnings decodes to.
  let prefixes: [(ids: [Int32], decoded: [String])]
  /// Byte strings, most of which are not UTF-8.
  let byteRows: [(bytes: [UInt8], ids: [Int32])]

  init(_ name: String) throws {
    let json = try JSON.parse(Fixture.bytes("tokenizers/\(name)/golden.json"))
    rows = (json["strings"]?.array ?? []).map { row in
      Row(
        text: row["text"]?.string ?? "", ids: row["ids"]?.ids ?? [], idsWithSpecial: row["ids_with_special"]?.ids,
        decoded: row["decoded"]?.string, decodedSkippingSpecial: row["decoded_skip_special"]?.string)
    }
    decodings = (json["random_ids"]?.array ?? []).map { ($0["ids"]?.ids ?? [], $0["decoded"]?.string ?? "") }
    prefixes = (json["prefixes"]?.array ?? []).map { row in
      (row["ids"]?.ids ?? [], (row["prefix_decodes"]?.array ?? []).map { $0.string ?? "" })
    }
    byteRows = (json["bytes"]?.array ?? []).map { (base64($0["bytes_base64"]?.string ?? ""), $0["ids"]?.ids ?? []) }
  }

  /// Each is read once.
  static func tokenizer(_ name: String) throws -> Tokenizer {
    try loaded.withLock { loaded in
      if let tokenizer = loaded[name] { return tokenizer }
      let tokenizer = try Tokenizer.load(Fixture.model("tokenizers/\(name)"))
      loaded[name] = tokenizer
      return tokenizer
    }
  }

  private static let loaded = Mutex<[String: Tokenizer]>([:])

  static let names = [
    "bpe-neox", "bpe-llama3", "bpe-qwen", "bpe-smollm", "bpe-llama2", "bpe-llama2-metaspace", "unigram-metaspace",
    "sentencepiece-unigram", "sentencepiece-bpe", "rwkv-world", "gpt-neox-20b",
  ]
}

extension JSON {
  fileprivate var ids: [Int32]? { array?.compactMap { $0.integer.map { Int32($0) } } }
}

private func base64(_ text: String) -> [UInt8] {
  let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/".utf8)
  let bits = text.utf8.compactMap { alphabet.firstIndex(of: $0) }.flatMap { value in
    (0..<6).map { value >> (5 - $0) & 1 }
  }
  return stride(from: 0, to: bits.count / 8 * 8, by: 8).map { place in
    bits[place..<place + 8].reduce(0) { $0 << 1 | UInt8($1) }
  }
}

/// Scalar by scalar: Swift's own comparison of strings looks through canonical equivalence.
func sameText(_ a: String, _ b: String) -> Bool { a.unicodeScalars.elementsEqual(b.unicodeScalars) }
