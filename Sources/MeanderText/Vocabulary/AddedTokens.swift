/// A token that is matched in the text itself, before or after it is normalized, rather than put together by
/// the model.
struct AddedToken: Sendable, Equatable {
  var id: Int32
  /// What is matched.
  var content: [UInt8]
  /// Matches only where no word goes on into it.
  var isSingleWord = false
  /// Takes the blanks before it along.
  var stripsLeft = false
  /// Takes the blanks after it along.
  var stripsRight = false
}

/// All added tokens that are matched on one side of the normalizer.
struct AddedTokens: Sendable {
  let tokens: [AddedToken]
  private let trie: ByteTrie
  private let starts: [Bool]
  let anyStripsLeft: Bool

  init(_ tokens: [AddedToken]) {
    self.tokens = tokens
    trie = ByteTrie(tokens.enumerated().map { ($0.element.content, Int32($0.offset)) })
    var starts = [Bool](repeating: false, count: 256)
    for token in tokens { if let first = token.content.first { starts[Int(first)] = true } }
    self.starts = starts
    anyStripsLeft = tokens.contains { $0.stripsLeft }
  }

  var isEmpty: Bool { trie.isEmpty }

  /// The first place at or after `start` where a token could begin.
  @inline(__always)
  func candidate(_ text: [UInt8], from start: Int, to end: Int) -> Int {
    var place = start
    while place < end, !starts[Int(text[place])] { place += 1 }
    return place
  }

  /// The longest token that starts at `start`; its id is its place in `tokens`.
  func match(_ text: [UInt8], from start: Int, atEnd: Bool) -> ByteTrie.Match {
    trie.longest(in: text, from: start, atEnd: atEnd)
  }
}
