import MeanderErrors
import MeanderFiles

/// Learns a byte-level BPE vocabulary from text (Sennrich, Haddow and Birch 2016; over bytes: Radford and others 2019).
///
/// Text comes in pieces and is not kept: what is kept is each distinct word and how often it came. The vocabulary is the special
/// tokens, the 256 bytes, and then pairs, the most frequent first; of equally frequent pairs the one of the smaller ids. Given the
/// same text, Python's `tokenizers` learns the same.
public struct BytePairTrainer: Sendable {
  /// How text is cut into words, across which no pair reaches.
  public enum Splitting: String, Sendable, CaseIterable {
    /// GPT-2's rule: words with the space before them, runs of digits, runs of signs.
    case gpt2
    /// The same with every digit on its own, which suits logs and code.
    case digits

    var rule: SplitRule { self == .gpt2 ? .gpt2 : .gpt2IsolatedDigits }
  }

  /// More distinct words than this are not kept: the rarest are dropped, which bounds memory to some hundred megabytes.
  public static let largestTable = 2_000_000

  private let splitting: Splitting
  private let special: [String]
  private let scanner: WordScanner
  private var counts: [[UInt8]: Int] = [:]
  private var pending: [UInt8] = []
  private var rarest = 1

  /// A trainer that has seen no text.
  ///
  /// - Parameters:
  ///   - splitting: the rule by which words are cut.
  ///   - special: tokens that stand for no text, in the order of their ids, which come first.
  public init(splitting: Splitting = .digits, special: [String] = []) {
    self.splitting = splitting
    self.special = special
    scanner = WordScanner(splitting.rule)
  }

  /// Takes the next piece of a text; however it is cut, the words are those of the whole. O(bytes).
  public mutating func push(_ bytes: [UInt8]) {
    pending += bytes
    cut(atEnd: false)
  }

  /// Ends a text.
  public mutating func finish() { cut(atEnd: true) }

  private mutating func cut(atEnd: Bool) {
    // A scalar that is cut in two waits for its rest.
    let open = atEnd ? 0 : openTail(pending)
    let tail = pending.suffix(open)
    let text = Array(pending.dropLast(open))
    var place = 0
    while place < text.count, let end = scanner.end(text, from: place, atEnd: atEnd) {
      counts[Array(text[place..<end]), default: 0] += 1
      place = end
    }
    pending = Array(text[place...]) + tail
    while counts.count > Self.largestTable {
      counts = counts.filter { $0.value > rarest }
      rarest *= 2
    }
  }

  /// The vocabulary of `size` entries (fewer where the text holds no more pairs), as the contents of a `tokenizer.json`.
  ///
  /// Throws `.badRequest` where `size` leaves no room for the bytes and the special tokens, and where no text came.
  /// Complexity: O(distinct words + merges · words that hold the pair).
  public func tokenizerFile(size: Int) throws -> [UInt8] {
    guard size >= 256 + special.count else {
      throw MeanderError(
        .badRequest, "a vocabulary of \(size) cannot hold 256 bytes and \(special.count) special tokens", at: "--vocabulary",
        remedy: "Ask for at least \(256 + special.count).")
    }
    guard Set(special).count == special.count, !special.contains("") else {
      throw MeanderError(.badRequest, "special tokens must differ, and hold something", at: "--special")
    }
    guard !counts.isEmpty else {
      throw MeanderError(.badRequest, "there is no text to learn from", remedy: "Give files that are not empty.")
    }
    return BytePairFile(special: special, splitting: splitting, merges: merges(upTo: size)).json.write() + [0x0a]
  }

  /// Ids of the pairs in the order in which they were learned, from the ids of the bytes on.
  private func merges(upTo size: Int) -> [(Int32, Int32)] {
    let first = Int32(special.count)
    let ids = BytePairFile.byteOrder.enumerated().reduce(into: [Int32](repeating: 0, count: 256)) {
      $0[Int($1.element)] = first + Int32($1.offset)
    }
    // In an order of their own, so that nothing depends on a dictionary's.
    let words = counts.sorted { $0.key.lexicographicallyPrecedes($1.key) }
    var table = PairCounts(words.map { ($0.key.map { ids[Int($0)] }, $0.value) })
    var merges: [(Int32, Int32)] = []
    var next = first + 256
    while Int(next) < size, let pair = table.best() {
      merges.append(pair)
      table.merge(pair, into: next)
      next += 1
    }
    return merges
  }
}

/// Words as ids, and how often each pair of neighbours occurs in them.
private struct PairCounts {
  private var words: [[Int32]]
  private let weights: [Int]
  private var counts: [UInt64: Int] = [:]
  /// The words that hold a pair, or once did.
  private var places: [UInt64: Set<Int32>] = [:]
  private var queue = PairQueue()

  init(_ words: [(ids: [Int32], weight: Int)]) {
    self.words = words.map(\.ids)
    weights = words.map(\.weight)
    for (index, word) in self.words.enumerated() {
      for (left, right) in zip(word, word.dropFirst()) {
        let key = Self.key(left, right)
        counts[key, default: 0] += weights[index]
        places[key, default: []].insert(Int32(index))
      }
    }
    for (key, count) in counts { queue.push(count, key) }
  }

  private static func key(_ left: Int32, _ right: Int32) -> UInt64 { UInt64(UInt32(left)) << 32 | UInt64(UInt32(right)) }

  /// The most frequent pair, of equals the one of the smaller ids; nil when none is left.
  mutating func best() -> (Int32, Int32)? {
    while let (count, key) = queue.pop() {
      let now = counts[key] ?? 0
      // What the queue holds may be old; it is told again when it comes up.
      if now == count, now > 0 { return (Int32(key >> 32), Int32(key & 0xffff_ffff)) }
      if now > 0, now < count { queue.push(now, key) }
    }
    return nil
  }

  mutating func merge(_ pair: (Int32, Int32), into id: Int32) {
    let key = Self.key(pair.0, pair.1)
    var touched: Set<UInt64> = []
    for index in (places[key] ?? []).sorted() {
      let word = words[Int(index)]
      let weight = weights[Int(index)]
      var merged: [Int32] = []
      merged.reserveCapacity(word.count)
      var place = 0
      while place < word.count {
        if place + 1 < word.count, word[place] == pair.0, word[place + 1] == pair.1 {
          merged.append(id)
          place += 2
        } else {
          merged.append(word[place])
          place += 1
        }
      }
      guard merged.count < word.count else { continue }
      for (left, right) in zip(word, word.dropFirst()) { counts[Self.key(left, right), default: 0] -= weight }
      for (left, right) in zip(merged, merged.dropFirst()) {
        let key = Self.key(left, right)
        counts[key, default: 0] += weight
        if left == id || right == id {
          places[key, default: []].insert(index)
          touched.insert(key)
        }
      }
      words[Int(index)] = merged
    }
    counts[key] = nil
    places[key] = nil
    for key in touched { if let count = counts[key], count > 0 { queue.push(count, key) } }
  }
}

/// A heap of pairs, the most frequent first, of equals the smaller key first.
private struct PairQueue {
  private var heap: [(count: Int, key: UInt64)] = []

  private static func precedes(_ a: (count: Int, key: UInt64), _ b: (count: Int, key: UInt64)) -> Bool {
    a.count != b.count ? a.count > b.count : a.key < b.key
  }

  mutating func push(_ count: Int, _ key: UInt64) {
    heap.append((count, key))
    var child = heap.count - 1
    while child > 0, Self.precedes(heap[child], heap[(child - 1) / 2]) {
      heap.swapAt(child, (child - 1) / 2)
      child = (child - 1) / 2
    }
  }

  mutating func pop() -> (count: Int, key: UInt64)? {
    guard let first = heap.first, let last = heap.popLast() else { return nil }
    guard !heap.isEmpty else { return first }
    heap[0] = last
    var parent = 0
    while true {
      var child = 2 * parent + 1
      guard child < heap.count else { return first }
      if child + 1 < heap.count, Self.precedes(heap[child + 1], heap[child]) { child += 1 }
      guard Self.precedes(heap[child], heap[parent]) else { return first }
      heap.swapAt(child, parent)
      parent = child
    }
  }
}
