/// The unigram model (Kudo 2018): of all ways to cut a word into pieces, the likeliest, found by Viterbi's
/// algorithm.
struct UnigramModel: Sendable {
  let trie: ByteTrie
  /// Log probability of each id.
  let scores: [Double]
  /// What a scalar that no piece covers costs: the smallest score less 10, as its authors' program has it.
  let unknownScore: Double
  let unknown: Int32

  private static let unknownPenalty = 10.0

  init(trie: ByteTrie, scores: [Double], smallestScore: Double, unknown: Int32) {
    self.trie = trie
    self.scores = scores
    self.unknown = unknown
    unknownScore = smallestScore - Self.unknownPenalty
  }

  /// Rooms that the search reuses from word to word: the best way to reach each byte of the word.
  struct Scratch: Sendable {
    fileprivate var ids: [Int32] = []
    fileprivate var starts: [Int32] = []
    fileprivate var scores: [Double] = []
  }

  /// The pieces of `text[word]`, whole scalars, into `symbols`. Complexity: O(word · longest piece).
  func encode(_ text: [UInt8], _ word: Range<Int>, _ scratch: inout Scratch, into symbols: inout [MergeModel.Symbol]) {
    symbols.removeAll(keepingCapacity: true)
    let count = word.count
    scratch.ids = [Int32](repeating: -1, count: count + 1)
    scratch.starts = [Int32](repeating: -1, count: count + 1)
    scratch.scores = [Double](repeating: 0, count: count + 1)
    var place = 0
    while place < count {
      let length = min(readScalar(text, word.lowerBound + place).length, count - place)
      reach(text, word, place, length, &scratch)
      place += length
    }
    place = count
    while place > 0 {
      let start = Int(scratch.starts[place])
      symbols.append(MergeModel.Symbol(id: scratch.ids[place], length: Int32(place - start)))
      place = start
    }
    symbols.reverse()
  }

  /// Offers every piece that starts at `place` to the place where it ends.
  private func reach(_ text: [UInt8], _ word: Range<Int>, _ place: Int, _ scalarLength: Int, _ scratch: inout Scratch) {
    let before = scratch.scores[place]
    var coversScalar = false
    var node = ByteTrie.root
    var end = place
    while end < word.count, let next = trie.step(node, text[word.lowerBound + end]) {
      node = next
      end += 1
      let id = trie.id(at: node)
      guard id >= 0 else { continue }
      if end - place == scalarLength { coversScalar = true }
      offer(id, from: place, to: end, before + scores[Int(id)], &scratch)
    }
    if !coversScalar { offer(unknown, from: place, to: place + scalarLength, before + unknownScore, &scratch) }
  }

  @inline(__always)
  private func offer(_ id: Int32, from start: Int, to end: Int, _ score: Double, _ scratch: inout Scratch) {
    guard scratch.starts[end] < 0 || score > scratch.scores[end] else { return }
    scratch.scores[end] = score
    scratch.starts[end] = Int32(start)
    scratch.ids[end] = id
  }
}
