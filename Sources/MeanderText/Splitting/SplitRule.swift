/// How a byte-level vocabulary cuts text into words before it merges: the published regular expressions,
/// written as scanners.
///
/// A rule answers where the word that starts at a place ends, from that place on alone; so words can be cut
/// off a stream one by one, however it arrives.
struct SplitRule: Sendable, Equatable {
  enum Numbers: Sendable, Equatable {
    /// `␣?\p{N}+`
    case runs
    /// `\p{N}{1,n}`
    case groups(Int)
    /// Every `\p{N}` is cut off before all else, so that what stands before it sees the end of the text
    /// there.
    case isolated
  }

  var numbers: Numbers
  /// Llama 3 and later: contractions in any case, any sign before a word, line ends bound to what stands
  /// before them.
  var isModern: Bool
  /// Marks continue words.
  var marksAreLetters = false

  /// GPT-2's rule (Radford et al. 2019), which GPT-NeoX and Mamba kept.
  static let gpt2 = SplitRule(numbers: .runs, isModern: false)
  static let gpt2IsolatedDigits = SplitRule(numbers: .isolated, isModern: false)
  static let llama3 = SplitRule(numbers: .groups(3), isModern: true)
  static let qwen = SplitRule(numbers: .groups(1), isModern: true)

  /// The regular expressions that published tokenizer files hold, each with its rule.
  static let published: [(expression: String, rule: SplitRule)] = [
    (#"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#, .gpt2),
    (#"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"#, .gpt2),
    (contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"# + signs, .llama3),
    (
      #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#,
      .llama3
    ),
    (contractions + #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"# + signs, .qwen),
    (
      contractions + #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#,
      SplitRule(numbers: .groups(1), isModern: true, marksAreLetters: true)
    ),
  ]

  private static let contractions = #"(?i:'s|'t|'re|'ve|'m|'ll|'d)"#
  private static let signs = #"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"#

  static func recognizing(_ expression: String) -> SplitRule? {
    published.first { $0.expression == expression }?.rule
  }
}
