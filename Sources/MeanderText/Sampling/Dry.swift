/// "Don't repeat yourself" (p-e-w, text-generation-webui pull request 5677; bounded by sequence breakers as
/// in KoboldCpp).
///
/// A token that would continue a repetition of n tokens, n at least the allowed length, loses
/// multiplier · base^(n - allowedLength).
struct DryPenalty: SamplingStage {
  let options: SamplingOptions.Dry
  /// The tokens that are a breaker by themselves are never penalized.
  private let exempt: Set<Int32>

  init?(_ options: SamplingOptions) {
    guard options.dry.multiplier > 0, options.dry.lastCount > 0 else { return nil }
    self.options = options.dry
    exempt = Set(options.dry.breakers.filter { $0.count == 1 }.map { $0[0] })
  }

  var window: Int { options.lastCount }

  func adjust(_ logits: inout [Float], _ history: History) {
    let tokens = Array(history.latest(window))
    let limit = tokensSinceBreaker(tokens)
    guard tokens.count > options.allowedLength, limit >= options.allowedLength else { return }
    var longest: [Int32: Int] = [:]
    for (end, length) in repetitions(tokens).enumerated() where min(length, limit) >= options.allowedLength {
      longest[tokens[end + 1]] = max(longest[tokens[end + 1]] ?? 0, min(length, limit))
    }
    for (id, length) in longest where !exempt.contains(id) && logits.indices.contains(Int(id)) {
      let penalty = options.multiplier * power(options.base, length - options.allowedLength)
      logits[Int(id)] = boundedLogit(Double(logits[Int(id)]) - penalty)
    }
  }

  /// For every position but the last: the length of the longest sequence that ends both there and at the end.
  ///
  /// The Z algorithm (Gusfield 1997, section 1.4) on the reversed tokens. O(count).
  private func repetitions(_ tokens: [Int32]) -> [Int] {
    let count = tokens.count
    let last = count - 1
    var lengths = [Int](repeating: 0, count: last)
    // In reversed coordinates, tokens[left..<right] is known to equal the first right - left tokens.
    var left = 0
    var right = 0
    for start in 1..<count {
      var length = start < right ? min(right - start, lengths[last - (start - left)]) : 0
      while start + length < count, tokens[last - length] == tokens[last - start - length] { length += 1 }
      lengths[last - start] = length
      if start + length > right {
        left = start
        right = start + length
      }
    }
    return lengths
  }

  /// How many tokens follow the latest breaker; all of them where there is none.
  private func tokensSinceBreaker(_ tokens: [Int32]) -> Int {
    var fewest = tokens.count
    for breaker in options.breakers where breaker.count <= tokens.count {
      for end in stride(from: tokens.count, through: max(breaker.count, tokens.count - fewest), by: -1)
      where tokens[end - 1] == breaker.last && tokens[(end - breaker.count)..<end].elementsEqual(breaker) {
        fewest = tokens.count - end
        break
      }
    }
    return fewest
  }

  /// base^exponent by multiplication; stops where any logit would be lost anyway.
  private func power(_ base: Double, _ exponent: Int) -> Double {
    var result = 1.0
    var left = exponent
    while left > 0, result < 1e38, base > 1 {
      result *= base
      left -= 1
    }
    return result
  }
}

extension SamplingOptions.Dry {
  /// Longer breakers are cut to this many tokens.
  public static let longestBreaker = 20

  /// The token sequences in which the texts of `breakers` (such as a newline or a colon) may appear.
  ///
  /// A token that holds the whole text is a breaker by itself. A token that ends with the beginning of the
  /// text is one together with the tokens of the rest. O(vocabulary).
  ///
  /// - Parameters:
  ///   - vocabulary: the bytes of each token, by id.
  ///   - encode: the token ids of a text.
  public static func breakers(
    for texts: [String], vocabulary: [[UInt8]], encode: (String) throws -> [Int32]
  ) rethrows -> [[Int32]] {
    var sequences: Set<[Int32]> = []
    for text in texts where !text.isEmpty {
      let bytes = Array(text.utf8)
      for (id, token) in vocabulary.enumerated() where !token.isEmpty {
        let head = Int32(truncatingIfNeeded: id)
        if holds(token, bytes) {
          sequences.insert([head])
          continue
        }
        for shared in 1..<max(1, bytes.count) where token.suffix(shared).elementsEqual(bytes.prefix(shared)) {
          guard let rest = String(validating: bytes.dropFirst(shared), as: UTF8.self) else { continue }
          sequences.insert(Array(([head] + (try encode(rest))).prefix(longestBreaker)))
        }
      }
    }
    return sequences.sorted { $0.lexicographicallyPrecedes($1) }
  }

  private static func holds(_ token: [UInt8], _ text: [UInt8]) -> Bool {
    guard token.count >= text.count else { return false }
    return (0...(token.count - text.count)).contains { token[$0..<($0 + text.count)].elementsEqual(text) }
  }
}
