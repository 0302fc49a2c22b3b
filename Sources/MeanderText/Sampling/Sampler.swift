import MeanderErrors

/// A drawn token.
public struct Sampled: Sendable, Equatable {
  /// A token and the natural logarithm of its probability under the model alone: before bias, penalties,
  /// truncation and temperature.
  public struct Choice: Sendable, Equatable {
    /// The token.
    public let id: Int32
    /// In nats, at most 0.
    public let logProbability: Double
  }

  /// The token.
  public let id: Int32
  /// The natural logarithm of the token's probability under the model alone.
  public let logProbability: Double
  /// The model's likeliest tokens, likeliest first, as many as were asked for.
  public let top: [Choice]
}

/// Draws tokens from logits: the options, the generator and what the penalties remember, in one value.
///
/// The chain is bias, penalties, DRY, top-k, typical, top-p, min-p, XTC, temperature, and mirostat in place
/// of the truncations where it is on. A copy draws the same tokens as the original; so does one made from
/// `serialized()`.
public struct Sampler: Sendable {
  /// How it draws.
  public let options: SamplingOptions
  private let stages: [any SamplingStage]
  private var memory: SamplerMemory

  /// Throws `badRequest` naming the option that is out of its range, its value and the range.
  public init(_ options: SamplingOptions) throws {
    try options.validate()
    self.options = options
    stages = samplingStages.compactMap { $0.init(options) }
    memory = SamplerMemory(
      generator: Xoshiro(seed: options.seed), history: History(capacity: stages.map(\.window).max() ?? 0),
      surpriseBound: 2 * options.mirostat.tau)
  }

  /// Draws one token from the logits [V], and names the `topCount` likeliest beside it.
  ///
  /// Ties go to the lower id. The token is not remembered until `accept`. Throws `nonFinite` where a logit is
  /// NaN or infinite and `badRequest` where the options forbid every token. O(V).
  public mutating func sample(_ logits: [Float], topCount: Int = 0) throws -> Sampled {
    let maximum = try Sampler.largest(logits)
    let logTotal = Softmax.logarithm(
      Softmax.total(count: logits.count, maximum: maximum) { logits[$0] })
    func logProbability(_ id: Int32) -> Double { Double(logits[Int(id)]) - maximum - logTotal }

    let adjusted = try adjusted(logits)
    let id = options.temperature == 0 ? try Sampler.likeliest(adjusted) : try draw(adjusted)
    return Sampled(
      id: id, logProbability: logProbability(id),
      top: Sampler.first(topCount, logits).map { .init(id: $0, logProbability: logProbability($0)) })
  }

  /// Remembers a token for the penalties: each drawn one, and those of the prompt where they should count.
  /// O(1).
  public mutating func accept(_ id: Int32) { memory.history.append(id) }

  /// The logits [V] after bias and penalties.
  package func adjusted(_ logits: [Float]) throws -> [Float] {
    var adjusted = logits
    for stage in stages { try stage.adjust(&adjusted, memory.history) }
    return adjusted
  }

  /// What is left of the adjusted logits [V] to draw from. Throws `badRequest` where every token is
  /// forbidden.
  package mutating func narrowed(_ logits: [Float]) throws -> Candidates {
    var candidates = Candidates(logits)
    guard candidates.count > 0 else { throw Sampler.everythingForbidden }
    for stage in stages { stage.narrow(&candidates, &memory) }
    return candidates
  }

  private mutating func draw(_ logits: [Float]) throws -> Int32 {
    let candidates = try narrowed(logits)
    let weights = candidates.weights(maximum: candidates.maximum)
    var total = 0.0
    for weight in weights { total += weight }

    let mark = memory.generator.uniform() * total
    var passed = 0.0
    var chosen = 0
    for i in weights.indices where weights[i] > 0 {
      chosen = i
      passed += weights[i]
      if passed > mark { break }
    }
    let surprise = -Softmax.logarithm2(weights[chosen] / total)
    for stage in stages { stage.observe(surprise: surprise, &memory) }
    return candidates.id(chosen)
  }

  private static func largest(_ logits: [Float]) throws -> Double {
    guard !logits.isEmpty else {
      throw MeanderError(.badRequest, "there are no logits to sample from", at: "sampling")
    }
    var largest = -Float.infinity
    var sum: Float = 0
    for logit in logits {
      largest = max(largest, logit)
      sum += logit * 0
    }
    // A NaN or an infinity times zero is NaN, and stays.
    guard sum == 0 else {
      let id = logits.firstIndex { !$0.isFinite } ?? 0
      throw MeanderError(
        .nonFinite, "the logit of token \(id) is \(logits[id])", at: "sampling",
        remedy: "The state or the weights hold numbers that are not finite; start from an earlier snapshot.")
    }
    return Double(largest)
  }

  private static func likeliest(_ logits: [Float]) throws -> Int32 {
    var best = 0
    for i in logits.indices where logits[i] > logits[best] { best = i }
    guard logits[best] > -.infinity else { throw everythingForbidden }
    return Int32(truncatingIfNeeded: best)
  }

  private static func first(_ count: Int, _ logits: [Float]) -> [Int32] {
    guard count > 0 else { return [] }
    var candidates = Candidates(logits)
    candidates.keep(first: count)
    return (0..<candidates.count).map { candidates.id($0) }
  }

  private static let everythingForbidden = MeanderError(
    .badRequest, "every token is forbidden", at: "sampling option logit-bias",
    remedy: "Leave at least one token without a bias of -inf.")
}

extension Sampler {
  private static let heading = "meander-sampler 1"

  /// Everything that decides the following draws, as UTF-8 text: one `name value` a line, numbers exact.
  public func serialized() -> [UInt8] {
    var lines = [Sampler.heading]
    let fields = options.fields
    for name in fields.keys.sorted() { lines.append("\(name) \(fields[name] ?? "")") }
    lines.append("generator \(memory.generator.words.map { String($0) }.joined(separator: ","))")
    lines.append("history \(SamplingField.joined(memory.history.latest(.max)))")
    lines.append("surprise-bound \(memory.surpriseBound)")
    return Array(lines.joined(separator: "\n").utf8)
  }

  /// The sampler that `serialized()` described. Throws `badData` where the bytes do not describe one.
  public init(serialized bytes: [UInt8]) throws {
    guard let text = String(validating: bytes, as: UTF8.self) else { throw Sampler.damaged("it is not UTF-8") }
    let lines = text.split(separator: "\n")
    guard lines.first.map({ $0 == Sampler.heading }) == true else {
      throw Sampler.damaged("it does not begin with \"\(Sampler.heading)\"")
    }
    var fields: [String: String] = [:]
    for line in lines.dropFirst() {
      let parts = line.split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
      guard parts.count == 2, fields.updateValue(String(parts[1]), forKey: String(parts[0])) == nil else {
        throw Sampler.damaged("\"\(line.prefix(40))\" is not a name and a value, or is there twice")
      }
    }
    let words = fields.removeValue(forKey: "generator")?.split(separator: ",").compactMap { UInt64($0) }
    guard let generator = words.flatMap({ Xoshiro(words: $0) }) else { throw Sampler.damaged("generator") }
    guard let ids = fields.removeValue(forKey: "history").flatMap({ SamplingField.identifiers($0) }) else {
      throw Sampler.damaged("history")
    }
    guard let bound = fields.removeValue(forKey: "surprise-bound").flatMap({ Double($0) }), bound.isFinite else {
      throw Sampler.damaged("surprise-bound")
    }
    do {
      try self.init(SamplingOptions(fields: fields))
    } catch {
      throw MeanderError(.badData, "its options are not allowed", at: "saved sampler", cause: error)
    }
    for id in ids.suffix(memory.history.capacity) { accept(id) }
    memory.generator = generator
    memory.surpriseBound = bound
  }

  private static func damaged(_ what: String) -> MeanderError {
    MeanderError(.badData, "the saved sampler is damaged: \(what)", at: "saved sampler")
  }
}
