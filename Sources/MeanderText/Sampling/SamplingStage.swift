/// What changes while a sampler runs, and with the options makes up all that a snapshot must hold of it.
struct SamplerMemory: Sendable {
  var generator: Xoshiro
  var history: History
  /// Mirostat's bound on surprise in bits (the paper's mu).
  var surpriseBound: Double
}

/// A logit as single precision holds it: finite, unless it is the negative infinity of a forbidden token.
func boundedLogit(_ logit: Double) -> Float {
  let largest = Float.greatestFiniteMagnitude
  return logit == -.infinity ? -.infinity : Float(min(max(logit, -Double(largest)), Double(largest)))
}

/// The latest tokens, as many as the options look back on.
struct History: Sendable {
  static let largestWindow = 65_536
  let capacity: Int
  private var ids: [Int32] = []

  init(capacity: Int) { self.capacity = capacity }

  /// Amortized O(1): the oldest tokens leave in one piece.
  mutating func append(_ id: Int32) {
    guard capacity > 0 else { return }
    if ids.count >= 2 * capacity { ids.removeFirst(ids.count - capacity + 1) }
    ids.append(id)
  }

  /// The latest `count` tokens at most, oldest first.
  func latest(_ count: Int) -> ArraySlice<Int32> { ids.suffix(min(count, capacity)) }
}

/// One sampler of the chain.
protocol SamplingStage: Sendable {
  /// Nil where the options leave this stage without effect.
  init?(_ options: SamplingOptions)
  /// How many of the latest tokens `adjust` looks at.
  var window: Int { get }
  /// Changes logits [V] of single tokens. Throws `badRequest` for an id that the vocabulary lacks.
  func adjust(_ logits: inout [Float], _ history: History) throws
  /// Removes candidates (never all of them) or sets the temperature.
  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory)
  /// Told how surprising the drawn token was, in bits, among the candidates that were left.
  func observe(surprise: Double, _ memory: inout SamplerMemory)
}

extension SamplingStage {
  var window: Int { 0 }
  func adjust(_ logits: inout [Float], _ history: History) throws {}
  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {}
  func observe(surprise: Double, _ memory: inout SamplerMemory) {}
}

/// The chain, in order. A new sampler is one file and one line here.
let samplingStages: [any SamplingStage.Type] = [
  LogitBias.self,
  Penalties.self,
  DryPenalty.self,
  TopK.self,
  Typical.self,
  TopP.self,
  MinP.self,
  ExcludeTopChoices.self,
  Temperature.self,
  MirostatTruncation.self,
]
