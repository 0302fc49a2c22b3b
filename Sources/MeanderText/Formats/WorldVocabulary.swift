import MeanderErrors
import MeanderFiles

/// RWKV's world vocabulary: a file with a line a token, with its id, its text or bytes as a Python literal, and its
/// length in bytes; or the texts of a GGUF file, escaped as such literals are.
struct WorldVocabulary {
  private let entries: [(bytes: [UInt8], id: Int32)]
  private let path: String

  init(_ file: FileBytes) throws {
    path = file.path
    var entries: [(bytes: [UInt8], id: Int32)] = []
    for (number, line) in file.copy().split(separator: 0x0A).enumerated() where !line.allSatisfy({ $0 <= 0x20 }) {
      guard let entry = Self.entry(line.last == 0x0D ? line.dropLast() : line) else {
        throw Self.damaged("line \(number + 1) is not an id, a literal and its length", path)
      }
      entries.append(entry)
    }
    self.entries = entries
  }

  /// - Parameter texts: by id; nil where an id stands for nothing.
  init(escaped texts: [[UInt8]?], path: String) throws {
    self.path = path
    entries = try texts.enumerated().compactMap { id, text in
      guard let text else { return nil }
      guard let bytes = PythonLiteral.bytes((Array("b'".utf8) + text + Array("'".utf8))[...]), !bytes.isEmpty else {
        throw Self.damaged("token \(id) is not escaped as bytes are", path)
      }
      return (bytes, Int32(id))
    }
  }

  /// The texts of `count` tokens as a GGUF file holds them, and what each is: 3 for a control token, 1 for one of the vocabulary, 5
  /// for one that stands for nothing.
  func escaped(count: Int) -> (texts: [[UInt8]], kinds: [Int]) {
    let count = max(count, Int(entries.map(\.id).max() ?? 0) + 1)
    var texts = (0..<count).map { Array("[PAD\($0)]".utf8) }
    var kinds = [Int](repeating: 5, count: count)
    (texts[0], kinds[0]) = (Array("<s>".utf8), 3)
    for (bytes, id) in entries { (texts[Int(id)], kinds[Int(id)]) = (PythonLiteral.escaped(bytes), 1) }
    return (texts, kinds)
  }

  /// Encoding takes the longest token that fits, again and again. Id 0 stands for nothing, and ends a text.
  func tokenizer() throws -> Tokenizer.Parts {
    func damaged(_ what: String) -> MeanderError { Self.damaged(what, path) }
    var table = PieceTable(count: Int(entries.map(\.id).max() ?? 0) + 1)
    table.insert([], id: 0)
    for (bytes, id) in entries {
      guard !table.holds(id) else { throw damaged("id \(id) is given twice") }
      table.insert(bytes, id: id)
    }
    let trie = ByteTrie(entries)
    for byte in 0..<256 where trie.step(ByteTrie.root, UInt8(byte)).map({ trie.id(at: $0) }) ?? -1 < 0 {
      throw damaged("no token stands for byte \(byte) alone")
    }
    var parts = Tokenizer.Parts(
      kind: "RWKV world", pieces: table, encoding: Encoding(model: .greedy(trie), cutter: .whole),
      decoding: .bytes(table))
    parts.special = [0]
    parts.endOfText = [0]
    return parts
  }

  private static func damaged(_ what: String, _ path: String) -> MeanderError {
    MeanderError(.badData, what, at: path, remedy: "Fetch the tokenizer again.")
  }

  private static func entry(_ line: ArraySlice<UInt8>) -> (bytes: [UInt8], id: Int32)? {
    guard let first = line.firstIndex(of: 0x20), let last = line.lastIndex(of: 0x20), first < last,
      let id = Int(String(decoding: line[..<first], as: UTF8.self)), (1..<TokenizerFile.mostIDs).contains(id),
      let length = Int(String(decoding: line[(last + 1)...], as: UTF8.self)),
      let bytes = PythonLiteral.bytes(line[(first + 1)..<last]), bytes.count == length, length > 0
    else { return nil }
    return (bytes, Int32(id))
  }
}

/// Python's literals of strings and of bytes, as `repr` writes them.
enum PythonLiteral {
  /// Bytes as they stand within a literal of bytes.
  static func escaped(_ bytes: [UInt8]) -> [UInt8] {
    let digits = Array("0123456789abcdef".utf8)
    return bytes.flatMap { byte -> [UInt8] in
      switch byte {
      case 0x09: Array(#"\t"#.utf8)
      case 0x0A: Array(#"\n"#.utf8)
      case 0x0D: Array(#"\r"#.utf8)
      case UInt8(ascii: "\\"): Array(#"\\"#.utf8)
      case 0x20..<0x7F: [byte]
      default: Array(#"\x"#.utf8) + [digits[Int(byte >> 4)], digits[Int(byte & 15)]]
      }
    }
  }

  /// The bytes that a literal stands for (a string's UTF-8), or nil where it is none.
  static func bytes(_ literal: ArraySlice<UInt8>) -> [UInt8]? {
    var rest = literal
    let isBytes = rest.first == UInt8(ascii: "b")
    if isBytes { rest = rest.dropFirst() }
    guard let quote = rest.first, quote == UInt8(ascii: "'") || quote == UInt8(ascii: "\""), rest.count >= 2,
      rest.last == quote
    else { return nil }
    rest = rest.dropFirst().dropLast()
    var result: [UInt8] = []
    while let byte = rest.first {
      rest = rest.dropFirst()
      guard byte == UInt8(ascii: "\\") else {
        result.append(byte)
        continue
      }
      guard let value = escape(&rest) else { return nil }
      if isBytes {
        guard value < 0x100 else { return nil }
        result.append(UInt8(value))
      } else {
        guard Unicode.Scalar(value) != nil else { return nil }
        appendScalar(value, to: &result)
      }
    }
    return result
  }

  private static func escape(_ rest: inout ArraySlice<UInt8>) -> UInt32? {
    guard let kind = rest.first else { return nil }
    rest = rest.dropFirst()
    let count: Int
    switch kind {
    case UInt8(ascii: "n"): return 0x0A
    case UInt8(ascii: "r"): return 0x0D
    case UInt8(ascii: "t"): return 0x09
    case UInt8(ascii: "\\"), UInt8(ascii: "'"), UInt8(ascii: "\""): return UInt32(kind)
    case UInt8(ascii: "x"): count = 2
    case UInt8(ascii: "u"): count = 4
    case UInt8(ascii: "U"): count = 8
    default: return nil
    }
    let digits = rest.prefix(count)
    rest = rest.dropFirst(count)
    guard digits.count == count, digits.first != UInt8(ascii: "+"), digits.first != UInt8(ascii: "-") else {
      return nil
    }
    return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
  }
}
