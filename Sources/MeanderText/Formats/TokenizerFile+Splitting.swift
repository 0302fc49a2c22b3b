import MeanderErrors
import MeanderFiles

extension TokenizerFile {
  /// What a pre-tokenizer comes to.
  struct Splitting {
    var isByteLevel = false
    var stretches = Normalizer()
    var cutsAtMarks = false
    var cutter = Encoding.Cutter.whole

    /// The cutter for a vocabulary that is not byte-level.
    func cutter(for vocabulary: Vocabulary) -> Encoding.Cutter {
      cutsAtMarks ? .marks : .neighbors(Neighbors(vocabulary.pieces.lazy.map { $0.piece[...] }))
    }
  }

  func preTokenizer(_ normalizer: Normalizer) throws -> Splitting {
    let steps = try flattened(root["pre_tokenizer"] ?? .null, "pretokenizers")
    let types = steps.map { $0["type"]?.string ?? "?" }
    switch types {
    case []: return Splitting()
    case ["Metaspace"]: return try metaspace(steps[0])
    case ["Split"] where steps[0]["pattern"]?["String"]?.string == " " && normalizer.replacesSpaces: return Splitting()
    case ["ByteLevel"]: return try byteLevel(steps[0], .gpt2)
    case ["Digits", "ByteLevel"] where steps[0]["individual_digits"]?.bool ?? false:
      return try byteLevel(steps[1], .gpt2IsolatedDigits)
    case ["Split", "ByteLevel"]: return try byteLevel(steps[1], splitRule(steps[0]))
    default:
      throw unsupported("the pre-tokenizer \(types.joined(separator: ", ")) is not understood")
    }
  }

  /// The steps of a Sequence, those of a single step, or none.
  func flattened(_ json: JSON, _ key: String) throws -> [JSON] {
    if json == .null { return [] }
    guard json["type"]?.string == "Sequence" else { return [json] }
    guard let steps = json[key]?.array else { throw damaged("a Sequence has no \(key)") }
    return try steps.flatMap { try flattened($0, key) }
  }

  private func byteLevel(_ step: JSON, _ rule: SplitRule?) throws -> Splitting {
    let usesRule = step["use_regex"]?.bool ?? true
    let named: SplitRule
    switch (rule, usesRule) {
    case (let rule?, true) where rule == .gpt2 || rule == .gpt2IsolatedDigits: named = rule
    case (let rule?, false) where rule != .gpt2IsolatedDigits: named = rule
    default: throw unsupported("two splitting rules, one behind the other, are not understood")
    }
    var splitting = Splitting(isByteLevel: true, cutter: .words(WordScanner(named)))
    if step["add_prefix_space"]?.bool ?? true { splitting.stretches.steps = [.prepend([0x20], .unlessThere)] }
    return splitting
  }

  private func splitRule(_ step: JSON) throws -> SplitRule {
    let expression = step["pattern"]?["Regex"]?.string ?? step["pattern"]?["String"]?.string ?? ""
    guard let rule = SplitRule.recognizing(expression) else {
      throw unsupported("the splitting expression '\(expression)' is not understood")
    }
    switch (step["behavior"]?.string, step["invert"]?.bool ?? false) {
    case ("Isolated", false), ("Removed", true): return rule
    case (let behavior, let isInverted):
      throw unsupported("a Split that is \(behavior ?? "?"), inverted \(isInverted), is not understood")
    }
  }

  private func metaspace(_ step: JSON) throws -> Splitting {
    let mark = try metaspaceMark(step)
    var splitting = Splitting(cutsAtMarks: step["split"]?.bool ?? true)
    splitting.stretches.steps = [.replace(pattern: [0x20], by: [mark])]
    switch try prependScheme(step) {
    case "always": splitting.stretches.steps.append(.prepend([mark], .unlessThere))
    case "first": splitting.stretches.steps.append(.prepend([mark], .firstUnlessThere))
    default: break
    }
    return splitting
  }

  private func metaspaceMark(_ step: JSON) throws -> UInt32 {
    guard step["replacement"]?.string ?? "▁" == "▁" else {
      throw unsupported("a Metaspace other than ▁ is not understood")
    }
    return 0x2581
  }

  private func prependScheme(_ step: JSON) throws -> String {
    let older = step["add_prefix_space"]?.bool ?? true ? "always" : "never"
    let scheme = step["prepend_scheme"]?.string ?? older
    guard ["always", "first", "never"].contains(scheme) else {
      throw unsupported("the prepend_scheme '\(scheme)' is not understood")
    }
    return scheme
  }

  func decoding(_ pieces: PieceTable) throws -> Decoding {
    let steps = try flattened(root["decoder"] ?? .null, "decoders")
    let types = steps.map { $0["type"]?.string ?? "?" }
    switch types {
    case ["ByteLevel"]: return .bytes(pieces.mapped { ByteLevelAlphabet.bytes(of: $0) ?? Array($0) })
    case []:
      var text = TextPieces(pieces: pieces, beginning: .nothing)
      text.separator = [0x20]
      return .text(text)
    case ["Metaspace"]:
      _ = try metaspaceMark(steps[0])
      let beginning: TextPieces.Beginning = try prependScheme(steps[0]) == "never" ? .nothing : .marksOfFirstPiece
      return .text(TextPieces(spelled: pieces, beginning: beginning, knowsBytes: false))
    default: break
    }
    guard types.first == "Replace", steps[0]["pattern"]?["String"]?.string == "▁", steps[0]["content"]?.string == " ",
      Set(types.dropFirst()).isSubset(of: ["ByteFallback", "Fuse", "Strip"]), Set(types).count == types.count,
      steps.allSatisfy({ step in step["type"]?.string != "Strip" || isOneSpace(step) })
    else { throw unsupported("the decoder \(types.joined(separator: ", ")) is not understood") }
    return .text(
      TextPieces(
        spelled: pieces, beginning: types.contains("Strip") ? .oneSpace : .nothing,
        knowsBytes: types.contains("ByteFallback")))
  }

  private func isOneSpace(_ strip: JSON) -> Bool {
    strip["content"]?.string == " " && strip["start"]?.integer == 1 && strip["stop"]?.integer == 0
  }

  /// The ids that a template puts before and behind a single text.
  func template(_ json: JSON, _ pieces: PieceTable) throws -> (prefix: [Int32], suffix: [Int32]) {
    var around: (prefix: [Int32], suffix: [Int32]) = ([], [])
    for step in try flattened(json, "processors") {
      switch step["type"]?.string {
      case "ByteLevel": continue
      case "TemplateProcessing":
        var isBehind = false
        for item in step["single"]?.array ?? [] {
          if item["Sequence"] != nil {
            isBehind = true
            continue
          }
          guard let name = item["SpecialToken"]?["id"]?.string,
            let ids = step["special_tokens"]?[name]?["ids"]?.array?.map(\.integer),
            ids.allSatisfy({ id in id.flatMap { Int32(exactly: $0) }.map(pieces.holds) ?? false })
          else { throw damaged("the template names a token that is not there") }
          let found = ids.compactMap { $0.map { Int32($0) } }
          if isBehind { around.suffix += found } else { around.prefix += found }
        }
      case "RobertaProcessing", "BertProcessing":
        guard let first = step["cls"]?.array?.last?.integer, let last = step["sep"]?.array?.last?.integer,
          let first = Int32(exactly: first), let last = Int32(exactly: last), pieces.holds(first), pieces.holds(last)
        else { throw damaged("the template names a token that is not there") }
        around.prefix.append(first)
        around.suffix.append(last)
      case let type: throw unsupported("the post-processor '\(type ?? "?")' is not understood")
      }
    }
    return around
  }
}

extension Normalizer {
  /// No space reaches what comes behind.
  var replacesSpaces: Bool {
    steps.contains { if case .replace(pattern: [0x20], by: _) = $0 { true } else { false } }
  }
}

extension PieceTable {
  /// The same ids with other bytes.
  func mapped(_ transform: (ArraySlice<UInt8>) -> [UInt8]) -> PieceTable {
    var table = PieceTable(count: count)
    for id in 0..<Int32(count) where holds(id) { table.insert(transform(self[id]), id: id) }
    return table
  }
}

extension TextPieces {
  /// - Parameter spelled: pieces with `▁` for spaces.
  init(spelled: PieceTable, beginning: Beginning, knowsBytes: Bool) {
    var bytes: [Int32: UInt8] = [:]
    var marked: Set<Int32> = []
    let mark: [UInt8] = [0xE2, 0x96, 0x81]
    for id in 0..<Int32(spelled.count) {
      let piece = spelled[id]
      if knowsBytes, piece.count == 6, piece.starts(with: "<0x".utf8), piece.last == UInt8(ascii: ">"),
        let byte = UInt8(String(decoding: piece.dropFirst(3).prefix(2), as: UTF8.self), radix: 16)
      {
        bytes[id] = byte
      }
      if beginning == .marksOfFirstPiece ? piece.contains(0xE2) && piece.holds(mark) : piece.starts(with: mark) {
        marked.insert(id)
      }
    }
    self.init(
      pieces: spelled.mapped { $0.replacing(mark, with: [0x20]) }, byteIDs: bytes, beginning: beginning, marked: marked)
  }
}

extension ArraySlice<UInt8> {
  fileprivate func holds(_ pattern: [UInt8]) -> Bool {
    indices.contains { self[$0...].starts(with: pattern) }
  }

  fileprivate func replacing(_ pattern: [UInt8], with replacement: [UInt8]) -> [UInt8] {
    guard contains(pattern[0]) else { return Array(self) }
    var result: [UInt8] = []
    var rest = self
    while let first = rest.first {
      if rest.starts(with: pattern) {
        result += replacement
        rest = rest.dropFirst(pattern.count)
      } else {
        result.append(first)
        rest = rest.dropFirst()
      }
    }
    return result
  }
}
