import MeanderFiles
import MeanderText
import Testing

/// Where each splitting rule cuts, seen through a vocabulary in which any two of five characters are a token: the tokens
/// of a text are then its words in twos. (A published vocabulary has few tokens that a wrong cut would part.)
@Suite struct SplittingTests {
  private static let gpt2 = #"{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true}"#
  private static let digits =
    #"{"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": true}, \#(gpt2)]}"#
  private static let llama3 = modern(numbers: "{1,3}")
  private static let qwen = modern(numbers: "")

  private static func modern(numbers: String) -> String {
    let expression =
      #"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}"# + numbers
      + #"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"#
    return """
      {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": "\(expression)"}, "behavior": "Isolated", "invert": false},
        {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]}
      """
  }

  @Test(arguments: [
    (gpt2, "a\n\na", ["a", "\n", "\n", "a"]), (llama3, "a\n\na", ["a", "\n\n", "a"]),
    (gpt2, "a\n  a", ["a", "\n ", " a"]), (llama3, "a\n  a", ["a", "\n", " ", " a"]),
    (gpt2, "!\na", ["!", "\n", "a"]), (llama3, "!\na", ["!\n", "a"]), (qwen, "a  !\na", ["a", " ", " ", "!\n", "a"]),
    (gpt2, "!a", ["!", "a"]), (llama3, "!a", ["!a"]), (qwen, "!a", ["!a"]),
    (gpt2, "a11 1", ["a", "11", " 1"]), (digits, "a11 1", ["a", "1", "1", " ", "1"]),
    (llama3, "a11 1", ["a", "11", " ", "1"]), (llama3, "1111", ["11", "1", "1"]), (qwen, "a11 1", ["a", "1", "1", " ", "1"]),
    (gpt2, "a  ", ["a", "  "]), (digits, "a  1", ["a", "  ", "1"]), (qwen, "a \n", ["a", " \n"]),
  ])
  func cutsWhereTheRuleSays(preTokenizer: String, text: String, words: [String]) throws {
    let alphabet = ["a", "1", "!", "Ġ", "Ċ"]
    let pairs = alphabet.flatMap { first in alphabet.map { (first, $0) } }
    let tokens = alphabet + pairs.map { $0 + $1 }
    let vocabulary = tokens.enumerated().map { "\"\($1)\": \($0)" }.joined(separator: ", ")
    let merges = pairs.map { "\"\($0) \($1)\"" }.joined(separator: ", ")
    let file = """
      {"pre_tokenizer": \(preTokenizer), "decoder": {"type": "ByteLevel"},
       "model": {"type": "BPE", "vocab": {\(vocabulary)}, "merges": [\(merges)]}}
      """
    let tokenizer = try Tokenizer.reading(FileBytes(Array(file.utf8), path: "tokenizer.json"))
    #expect(tokenizer.encode(text).map { String(decoding: tokenizer.bytes(of: $0), as: UTF8.self) } == words)
  }
}
