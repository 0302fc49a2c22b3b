import MeanderErrors
import MeanderKernels
import MeanderText

/// One question's way back into the input: which segments were scored, which are to be read, and what that costs.
struct SecondLook {
  private let fallback: Model
  private let options: CascadeOptions
  private let question: [Int32]
  /// Tokens of the input that the fallback can hold beside the question.
  private let room: Int
  private let scoredTokens: Int
  private let past: PastInput
  private let fed: Int64
  private let budget: Int64
  private let deadline: ContinuousClock.Instant?
  private var scored: [Scored] = []
  /// What the fallback would say to the question alone: a segment behind which it says the same has taught it nothing.
  private var unaided: [Int32]?

  private struct Scored {
    let range: Range<Int64>
    let ids: [Int32]
    /// Nil where nothing was scored.
    let entropy: Double?
    let teaches: Bool
  }
  private(set) var bytesRead: Int64 = 0
  private(set) var skipped = 0
  private(set) var lost = 0
  private(set) var looks: [CascadeAnswer.Look] = []

  /// - Parameter held: how many tokens the fallback reads at a time, less those of the answer.
  init(
    _ fallback: Model, _ options: CascadeOptions, _ question: String, held: Int, _ scoredTokens: Int, past: PastInput, fed: Int64
  ) throws {
    (self.fallback, self.options, self.scoredTokens, self.past, self.fed) = (fallback, options, scoredTokens, past, fed)
    // A question that leaves no room is cut, from the front.
    let most = max(1, held - fallback.tokenizer.beginning.count)
    self.question = fallback.tokenizer.encode(question).suffix(most)
    room = max(0, most - self.question.count)
    budget = options.budget(fed)
    deadline = options.rereadSeconds.map { ContinuousClock.now + .seconds($0) }
  }

  /// Bytes that scoring leaves for the answer.
  private var reserve: Int64 { budget == .max ? 0 : min(budget / 3, Int64(room) * 4) }

  private var isLate: Bool { deadline.map { ContinuousClock.now >= $0 } ?? false }

  /// Scores segments in the order in which they promise something, as many as may be read.
  mutating func score(_ candidates: [Range<Int64>]) async throws {
    for (number, range) in candidates.enumerated() {
      guard !isLate, bytesRead + Int64(range.count) <= budget - reserve else {
        skipped += candidates.count - number
        return
      }
      try await score(range)
    }
  }

  /// Scores every segment of the input: XL3M whole.
  mutating func scoreAll() async throws {
    var place = past.first(before: fed)
    let size = Int64(options.segmentBytes)
    // What the spool has lost counts in segments.
    lost += Int((place + size - 1) / size)
    while place < fed {
      guard !isLate, bytesRead + 2 * size <= budget - reserve, let bytes = try read(place..<min(fed, place + 2 * size)) else {
        skipped += Int((fed - place + size - 1) / size)
        return
      }
      let line = bytes.indices.dropFirst(Int(size) - 1).first { bytes[$0] == UInt8(ascii: "\n") }
      let end = place + Int64(line.map { $0 + 1 } ?? bytes.count)
      try await score(place..<end)
      place = end
    }
  }

  /// The last of the input, as much as there is room for.
  mutating func takeLast() throws {
    let bytesPerToken: Int64 = 8
    let start = max(past.first(before: fed), fed - min(Int64(room) * bytesPerToken, budget))
    guard start < fed, let bytes = try read(start..<fed) else { return }
    // From the first whole character on.
    let ids = fallback.tokenizer.encode(start == 0 ? bytes : Array(bytes.drop { $0 & 0xC0 == 0x80 }))
    scored = [Scored(range: start..<fed, ids: Array(ids.suffix(room)), entropy: nil, teaches: true)]
  }

  private func read(_ range: Range<Int64>) throws -> [UInt8]? { try past.read(range, before: fed) }

  private mutating func score(_ range: Range<Int64>) async throws {
    guard let bytes = try read(range) else {
      (lost, skipped) = (lost + 1, skipped + 1)
      return
    }
    try Task.checkCancellation()
    bytesRead += Int64(bytes.count)
    let ids = Array(fallback.tokenizer.encode(bytes).prefix(room))
    if unaided == nil { unaided = try await continuation([]).ids }
    let found = try await continuation(ids)
    scored.append(Scored(range: range, ids: ids, entropy: found.entropy, teaches: found.ids != unaided))
  }

  /// The likeliest tokens behind some of the input and the question, and the mean entropy of the choice of each.
  private func continuation(_ ids: [Int32]) async throws -> (ids: [Int32], entropy: Double) {
    let session = try Session(fallback, sampling: SamplingOptions())
    try await session.feed(ids: fallback.tokenizer.beginning + ids + question)
    var (sum, said) = (0.0, [Int32]())
    while said.count < scoredTokens {
      let logits = try await session.logits()
      sum += Self.entropy(logits)
      let best = Int32(logits.indices.max { logits[$0] < logits[$1] } ?? 0)
      said.append(best)
      if said.count == scoredTokens || fallback.endTokens.contains(best) { break }
      try await session.feed(ids: [best])
    }
    return (said, sum / Double(said.count))
  }

  /// Of what the logits say of the next token, in nats.
  static func entropy(_ logits: [Float]) -> Double {
    let top = Double(logits.max() ?? 0)
    var (total, weighted) = (0.0, 0.0)
    for logit in logits {
      let below = Double(logit) - top
      let weight = exponential(below)
      total += weight
      weighted += weight * below
    }
    return logarithm(total) - weighted / total
  }

  /// The tokens that the fallback answers from: the segments after which it is most certain, in the order of the text, and the question.
  /// Segments that taught it nothing are left out where others did.
  mutating func context() throws -> [Int32] {
    let teaching = scored.indices.filter { scored[$0].teaches }
    let byCertainty = (teaching.isEmpty ? Array(scored.indices) : teaching).sorted {
      (scored[$0].entropy ?? 0, scored[$0].range.lowerBound) < (scored[$1].entropy ?? 0, scored[$1].range.lowerBound)
    }
    var (used, left) = (Set<Int>(), room)
    for index in byCertainty {
      let own = scored[index]
      guard own.ids.count <= left, bytesRead + Int64(own.range.count) <= budget else { continue }
      used.insert(index)
      left -= own.ids.count
      bytesRead += Int64(own.range.count)
    }
    let inOrder = scored.indices.sorted { scored[$0].range.lowerBound < scored[$1].range.lowerBound }
    looks = inOrder.map {
      CascadeAnswer.Look(
        offset: scored[$0].range.lowerBound, count: scored[$0].range.count, entropy: scored[$0].entropy, isUsed: used.contains($0))
    }
    return fallback.tokenizer.beginning + inOrder.filter { used.contains($0) }.flatMap { scored[$0].ids } + question
  }
}
