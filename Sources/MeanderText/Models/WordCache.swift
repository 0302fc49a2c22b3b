/// What short words were encoded to: a fixed number of places, each holding the last word that fell on it.
struct WordCache: Sendable {
  /// Words of more bytes, or of more symbols, are not kept.
  static let longestWord = 15
  static let mostSymbols = 8

  private static let places = 1 << 14

  /// Two numbers a place: the word's bytes, its length in the topmost byte.
  private var keys: [UInt64] = []
  /// Eight a place.
  private var ids: [Int32] = []
  /// A byte each for where the place's symbols end.
  private var ends: [UInt64] = []

  private let isKept: Bool

  /// - Parameter isKept: false for a cache that stays empty.
  init(isKept: Bool = true) { self.isKept = isKept }

  struct Key {
    fileprivate var low: UInt64
    fileprivate var high: UInt64

    /// Nil if the word is too long to be kept.
    @inline(__always)
    init?(_ text: [UInt8], _ word: Range<Int>) {
      guard word.count <= WordCache.longestWord else { return nil }
      low = 0
      high = UInt64(word.count) << 56
      for index in 0..<min(8, word.count) { low |= UInt64(text[word.lowerBound + index]) << UInt64(8 * index) }
      if word.count > 8 {
        for index in 8..<word.count { high |= UInt64(text[word.lowerBound + index]) << UInt64(8 * (index - 8)) }
      }
    }

    fileprivate var length: UInt64 { high >> 56 }

    fileprivate var place: Int {
      let mixed = (low ^ high &* 0xD6E8_FEB8_6659_FD93) &* 0x9E37_79B9_7F4A_7C15
      return Int(truncatingIfNeeded: mixed >> 50)
    }
  }

  /// Hands each symbol that `key` was encoded to, and where it ends in the word, to `body`; false if the word
  /// is not here.
  @inline(__always)
  func withSymbols(of key: Key, _ body: (_ id: Int32, _ end: Int) -> Void) -> Bool {
    let place = key.place
    guard !keys.isEmpty, keys[2 * place] == key.low, keys[2 * place + 1] == key.high else { return false }
    var remaining = ends[place]
    var index = 8 * place
    while remaining != 0 {
      body(ids[index], Int(remaining & 0xFF))
      remaining >>= 8
      index += 1
    }
    return true
  }

  mutating func store(_ key: Key, _ symbols: [MergeModel.Symbol]) {
    guard isKept, symbols.count <= Self.mostSymbols else { return }
    if keys.isEmpty {
      keys = [UInt64](repeating: .max, count: 2 * Self.places)
      ids = [Int32](repeating: 0, count: 8 * Self.places)
      ends = [UInt64](repeating: 0, count: Self.places)
    }
    let place = key.place
    keys[2 * place] = key.low
    keys[2 * place + 1] = key.high
    var end: Int32 = 0
    ends[place] = 0
    for (index, symbol) in symbols.enumerated() {
      ids[8 * place + index] = symbol.id
      end += symbol.length
      ends[place] |= UInt64(truncatingIfNeeded: end) << UInt64(8 * index)
    }
  }
}
