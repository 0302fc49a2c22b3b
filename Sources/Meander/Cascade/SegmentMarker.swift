import MeanderKernels

/// A stretch of the input, and what was noticed while it was read.
struct Segment: Sendable, Hashable {
  var range: Range<Int64>
  /// By question, which of its words stand in it.
  var words: [UInt64]
  /// The largest surprise of a token, in bits; how far the largest step of a long memory lay above its usual one, as a logarithm.
  var surprise = 0.0
  var write = 0.0
}

/// Cuts a stream into segments and keeps the most promising of them, in memory of one size.
///
/// Segments end at the first line break after `size` bytes, or after twice as many. What promises something: words of the questions,
/// weighed by how few segments have them; the reader's surprise; and what its state wrote.
struct SegmentMarker: Sendable {
  private let size: Int
  /// How many are kept of each kind.
  private let kept: Int
  /// By question, its words and their places.
  private let words: [[[UInt8]: Int]]
  /// By question and word, how many segments have it.
  private var counts: [[Int]]
  private var segments = 0

  /// The segment that is being read, and those whose tokens are not all known.
  private var current: [UInt8] = []
  private var start: Int64
  private var open: [Segment] = []
  private var waiting: [TokenMark] = []

  /// The best so far of each kind: by question, then by surprise and by write.
  private var byWords: [[Segment]]
  private var bySurprise: [Segment] = []
  private var byWrite: [Segment] = []

  init(size: Int, kept: Int, questions: [String], from position: Int64) {
    (self.size, self.kept, start) = (size, kept, position)
    words = questions.map { question in
      var places: [[UInt8]: Int] = [:]
      Self.words(of: Array(question.utf8)) { if $0.count > 2, places.count < 64, places[$0] == nil { places[$0] = places.count } }
      return places
    }
    counts = words.map { [Int](repeating: 0, count: $0.count) }
    byWords = Array(repeating: [], count: questions.count)
  }

  /// Visits the words of a text, in small letters: what is neither a letter nor a digit of ASCII stands between them.
  private static func words(of bytes: [UInt8], _ visit: ([UInt8]) -> Void) {
    var word: [UInt8] = []
    for byte in bytes {
      switch byte {
      case UInt8(ascii: "A")...UInt8(ascii: "Z"): word.append(byte | 0x20)
      case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "0")...UInt8(ascii: "9"), 0x80...: word.append(byte)
      default:
        if !word.isEmpty { visit(word) }
        word = []
      }
    }
    if !word.isEmpty { visit(word) }
  }

  /// Takes in bytes of the stream.
  mutating func read(_ bytes: [UInt8]) {
    for byte in bytes {
      current.append(byte)
      let isCharacterEnd = byte & 0x80 == 0
      if current.count >= size, byte == UInt8(ascii: "\n") || current.count >= 2 * size && isCharacterEnd { cut() }
    }
  }

  /// Ends the last segment.
  mutating func finish() {
    if !current.isEmpty { cut() }
    note([])
    file(before: .max)
  }

  private mutating func cut() {
    let end = start + Int64(current.count)
    let masks = words.indices.map { question -> UInt64 in
      var mask: UInt64 = 0
      guard !words[question].isEmpty else { return 0 }
      Self.words(of: current) { word in if let place = words[question][word] { mask |= 1 << UInt64(place) } }
      for place in counts[question].indices where mask & 1 << UInt64(place) != 0 { counts[question][place] += 1 }
      return mask
    }
    open.append(Segment(range: start..<end, words: masks))
    segments += 1
    start = end
    current = []
  }

  /// Takes in what was noticed of tokens, in their order, each at the byte where it ends. A token of a segment that is not cut yet waits
  /// with it.
  mutating func note(_ marks: [TokenMark]) {
    waiting += marks
    var taken = 0
    while taken < waiting.count, waiting[taken].end <= start {
      let mark = waiting[taken]
      taken += 1
      file(before: mark.end)
      guard !open.isEmpty, open[0].range.contains(mark.end - 1) else { continue }
      open[0].surprise = max(open[0].surprise, mark.bits ?? 0)
      open[0].write = max(open[0].write, mark.write ?? 0)
    }
    waiting.removeFirst(taken)
  }

  /// Files the segments that end before `position`: all of their tokens are known.
  private mutating func file(before position: Int64) {
    while let first = open.first, first.range.upperBound < position {
      open.removeFirst()
      for question in words.indices where first.words[question] != 0 { keep(first, question: question) }
      Self.keep(first, in: &bySurprise, kept) { $0.surprise }
      Self.keep(first, in: &byWrite, kept) { $0.write }
    }
  }

  /// Rare words weigh more, and how rare a word is shows as the stream goes on: so twice as many are kept as are wanted, and weighed
  /// anew where they become too many.
  private mutating func keep(_ segment: Segment, question: Int) {
    byWords[question].append(segment)
    guard byWords[question].count > 2 * kept else { return }
    byWords[question] = Array(ranked(question).prefix(kept)).sorted { $0.range.lowerBound < $1.range.lowerBound }
  }

  private func ranked(_ question: Int) -> [Segment] {
    let weights = counts[question].map { logarithm(Double(segments + 1) / Double($0 + 1)) }
    return byWords[question].map { segment in
      (segment, weights.indices.reduce(0.0) { $0 + (segment.words[question] & 1 << UInt64($1) != 0 ? weights[$1] : 0) })
    }.sorted { ($1.1, $0.0.range.lowerBound) < ($0.1, $1.0.range.lowerBound) }.map(\.0)
  }

  private static func keep(_ segment: Segment, in list: inout [Segment], _ count: Int, _ value: (Segment) -> Double) {
    let own = value(segment)
    guard own > 0, list.count < count || own > list.last.map(value) ?? 0 else { return }
    let place = list.firstIndex { value($0) < own } ?? list.count
    list.insert(segment, at: place)
    if list.count > count { list.removeLast() }
  }

  /// The segments that promise most for a question, the best first: each kind's ranks are added up as Σ 1 / (10 + rank) (reciprocal ranks,
  /// Cormack and others 2009). What was noticed is of no use where a question's words tell more, so these count twice.
  func candidates(question: Int?) -> [Range<Int64>] {
    var scores: [Range<Int64>: Double] = [:]
    func add(_ list: [Segment], weight: Double) {
      for (rank, segment) in list.enumerated() { scores[segment.range, default: 0] += weight / Double(10 + rank) }
    }
    if let question { add(ranked(question), weight: 2) }
    add(byWrite, weight: 1)
    add(bySurprise, weight: 1)
    return scores.sorted { ($1.value, $0.key.lowerBound) < ($0.value, $1.key.lowerBound) }.map(\.key)
  }

  /// How many segments the stream had.
  var count: Int { segments }
}

/// What was noticed of one token.
struct TokenMark: Sendable {
  /// Where it ends, in bytes from the start of the stream.
  var end: Int64
  /// Its surprise, where that was asked for.
  var bits: Double?
  /// How far a long memory's step lay above its usual one, where there is any.
  var write: Double?
}
