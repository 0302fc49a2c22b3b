import Glibc
import MeanderText
import Testing

/// Logits whose softmax is `probabilities`.
func logits(_ probabilities: [Double]) -> [Float] { probabilities.map { Float(log($0)) } }

func options(_ change: (inout SamplingOptions) -> Void) -> SamplingOptions {
  var options = SamplingOptions()
  options.temperature = 1
  options.topK = 0
  options.topP = 1
  options.minP = 0
  change(&options)
  return options
}

/// What a fresh sampler would draw from, by id; nothing where the sampler throws.
func distribution(_ options: SamplingOptions, _ logits: [Float]) throws -> [Int32: Double] {
  try distribution(of: Sampler(options), logits)
}

/// What `sampler` would draw from next, by id.
func distribution(of sampler: Sampler, _ logits: [Float]) throws -> [Int32: Double] {
  var sampler = sampler
  let candidates = try sampler.narrowed(sampler.adjusted(logits))
  let weights = candidates.weights(maximum: candidates.maximum)
  let total = weights.reduce(0, +)
  return Dictionary(uniqueKeysWithValues: weights.indices.map { (candidates.id($0), weights[$0] / total) })
}

func expectDistribution(
  _ actual: [Int32: Double], _ expected: [Int32: Double], within bound: Double = 1e-6,
  sourceLocation: SourceLocation = #_sourceLocation
) {
  #expect(actual.keys.sorted() == expected.keys.sorted(), sourceLocation: sourceLocation)
  for (id, probability) in expected {
    #expect(abs((actual[id] ?? .nan) - probability) <= bound, "token \(id)", sourceLocation: sourceLocation)
  }
}

/// How often each of `count` tokens is drawn in `draws` draws from the same logits.
func frequencies(_ options: SamplingOptions, _ logits: [Float], draws: Int) throws -> [Double] {
  var sampler = try Sampler(options)
  var counts = [Int](repeating: 0, count: logits.count)
  for _ in 0..<draws { counts[Int(try sampler.sample(logits).id)] += 1 }
  return counts.map { Double($0) / Double(draws) }
}
