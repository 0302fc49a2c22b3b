import MeanderText

// samplers: milliseconds a draw, for the vocabularies of published checkpoints and the costlier settings.
let settings: [(String, @Sendable (inout SamplingOptions) -> Void)] = [
  ("greedy", { _ in }),
  ("defaults at temperature 1", { $0.temperature = 1 }),
  (
    "no truncation",
    {
      $0.temperature = 1
      $0.topK = 0
      $0.topP = 1
      $0.minP = 0
    }
  ),
  (
    "top-p alone",
    {
      $0.temperature = 1
      $0.topK = 0
      $0.minP = 0
    }
  ),
  (
    "mirostat 2",
    {
      $0.temperature = 1
      $0.mirostat.version = 2
    }
  ),
  (
    "every penalty",
    {
      $0.temperature = 1
      $0.repeatPenalty = 1.1
      $0.dry.multiplier = 0.8
    }
  ),
]
print("| milliseconds a draw | V = 50,288 | V = 250,000 |\n|---|---|---|")
for (name, change) in settings {
  var options = SamplingOptions()
  change(&options)
  var row = "| \(name) |"
  for vocabulary in [50_288, 250_000] {
    var generator = SystemRandomNumberGenerator()
    // A sum of uniform draws is near enough to the bell that logits have.
    let logits = (0..<vocabulary).map { _ in
      (0..<6).reduce(Float(0)) { sum, _ in sum + .random(in: -3...3, using: &generator) }
    }
    var sampler = try Sampler(options)
    var times: [Duration] = []
    for _ in 0..<31 {
      times.append(try ContinuousClock().measure { sampler.accept(try sampler.sample(logits).id) })
    }
    let median = times.sorted()[times.count / 2] / .milliseconds(1)
    row += " \((median * 100).rounded() / 100) |"
  }
  print(row)
}
