import MeanderErrors

/// Adds a constant to the logits of chosen tokens.
struct LogitBias: SamplingStage {
  let biases: [Int32: Float]

  init?(_ options: SamplingOptions) {
    guard !options.logitBias.isEmpty else { return nil }
    biases = options.logitBias
  }

  func adjust(_ logits: inout [Float], _ history: History) throws {
    if let id = biases.keys.filter({ Int($0) >= logits.count }).min() {
      throw MeanderError(
        .badRequest, "token \(id) is not in the vocabulary", at: "sampling option logit-bias",
        remedy: "Allowed: ids from 0 to \(logits.count - 1).")
    }
    for (id, bias) in biases { logits[Int(id)] = boundedLogit(Double(logits[Int(id)]) + Double(bias)) }
  }
}

/// Makes the latest tokens less likely: repetition (Keskar et al. 2019, with llama.cpp's multiplication of
/// negative logits, which the paper's division would make likelier), frequency and presence (the OpenAI API's
/// definitions).
struct Penalties: SamplingStage {
  let window: Int
  let repetition, presence, frequency: Double

  init?(_ options: SamplingOptions) {
    let changes = options.repeatPenalty != 1 || options.presencePenalty != 0 || options.frequencyPenalty != 0
    guard changes, options.repeatLastCount > 0 else { return nil }
    window = options.repeatLastCount
    repetition = options.repeatPenalty
    presence = options.presencePenalty
    frequency = options.frequencyPenalty
  }

  func adjust(_ logits: inout [Float], _ history: History) {
    var counts: [Int32: Int] = [:]
    for id in history.latest(window) { counts[id, default: 0] += 1 }
    for (id, count) in counts where logits.indices.contains(Int(id)) {
      let logit = Double(logits[Int(id)])
      let repeated = logit <= 0 ? logit * repetition : logit / repetition
      logits[Int(id)] = boundedLogit(repeated - Double(count) * frequency - presence)
    }
  }
}
