import Meander
import MeanderTasks

/// How often a model gives back the pass key that it read somewhere in a long text.
///
/// Depths are spread evenly over the samples, (i + ½) / n, as the published scripts have it; key and filler of each sample
/// are drawn anew. Every token is streamed.
public struct PasskeyMeasurement: Sendable {
  /// Bytes of each haystack.
  public var length: Int
  public var samples: Int
  public var wording: Passkey.Wording
  /// What is appended to the question: models that read bytes may have been trained with a space there.
  public var questionSuffix: String
  public var seed: UInt64

  public init(length: Int, samples: Int, wording: Passkey.Wording = .landmark, questionSuffix: String = "", seed: UInt64 = 1) {
    self.length = length
    self.samples = samples
    self.wording = wording
    self.questionSuffix = questionSuffix
    self.seed = seed
  }

  /// Runs all samples. O(length · samples) tokens; memory does not depend on the length.
  ///
  /// - Parameters:
  ///   - filler: endless text: given a sample's number and how many bytes are wanted, the next ones, at least one.
  /// - Returns: a sample counts when the five digits stand in the ten tokens of the model's greedy answer.
  public func run(_ model: Model, filler: @escaping @Sendable (_ sample: Int, _ count: Int) -> [UInt8]) async throws -> Proportion {
    var generator = SplitMix(seed: seed)
    var hits = 0
    for sample in 0..<samples {
      try Task.checkCancellation()
      let depth = (Double(sample) + 0.5) / Double(samples)
      let task = Passkey(wording: wording, key: Passkey.drawKey(using: &generator), depth: depth)
      let session = try Session(model)
      for piece in task.pieces(length: length, filler: { filler(sample, $0) }) { try await session.feed(bytes: piece) }
      try await session.feed(wording.question + questionSuffix)
      var answer = ""
      for try await token in session.generate(maximumTokens: 10) { answer += token.text }
      if answer.contains(task.key) { hits += 1 }
    }
    return Proportion(hits: hits, of: samples)
  }
}

/// SplitMix64 (Steele, Lea and Flood 2014): the same draws from the same seed everywhere.
struct SplitMix: RandomNumberGenerator {
  private var state: UInt64

  init(seed: UInt64) { state = seed }

  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
