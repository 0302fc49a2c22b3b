/// Keeps the k likeliest tokens (Fan, Lewis and Dauphin 2018).
struct TopK: SamplingStage {
  let k: Int

  init?(_ options: SamplingOptions) {
    guard options.topK > 0, options.mirostat.version == 0 else { return nil }
    k = options.topK
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    if k < candidates.count { candidates.keep(first: k) }
  }
}

/// Keeps the fewest of the likeliest tokens that hold probability p together: nucleus sampling (Holtzman et
/// al. 2020).
struct TopP: SamplingStage {
  let p: Double

  init?(_ options: SamplingOptions) {
    guard options.topP < 1, options.mirostat.version == 0 else { return nil }
    p = options.topP
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    let maximum = candidates.maximum
    let wanted = p * candidates.totalWeight(maximum: maximum)
    var held = 0.0
    var kept = 0
    repeat {
      candidates.sort(first: kept + 1)
      held += candidates.weight(kept, maximum: maximum)
      kept += 1
    } while held < wanted && kept < candidates.count
    candidates.keep(first: kept)
  }
}

/// Keeps tokens at least p times as likely as the likeliest (Nguyen et al. 2024).
struct MinP: SamplingStage {
  private let logarithm: Double

  init?(_ options: SamplingOptions) {
    guard options.minP > 0, options.mirostat.version == 0 else { return nil }
    logarithm = Softmax.logarithm(max(options.minP, 1e-300))
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    let maximum = candidates.maximum
    let bound = max(maximum + logarithm, -Double(Float.greatestFiniteMagnitude))
    // Rounded up, so that no token below the exact bound is kept; the likeliest always is.
    let rounded = Float(bound)
    candidates.keep(atLeast: min(Float(maximum), Double(rounded) < bound ? rounded.nextUp : rounded))
  }
}

/// Keeps the tokens whose surprise is nearest to the entropy, the nearest first, until they hold probability
/// p together: locally typical sampling (Meister et al. 2023). Distances are ordered in single precision,
/// ties by likelihood rank.
struct Typical: SamplingStage {
  let p: Double

  init?(_ options: SamplingOptions) {
    guard options.typical < 1, options.mirostat.version == 0 else { return nil }
    p = options.typical
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    let maximum = candidates.maximum
    let weights = candidates.weights(maximum: maximum)
    let total = candidates.totalWeight(maximum: maximum)
    let logTotal = Softmax.logarithm(total)
    var entropy = logTotal
    for i in weights.indices { entropy -= weights[i] / total * (Double(candidates.logit(i)) - maximum) }

    // The bits of a float that is not negative rise with it.
    var nearest = RankedKeys(
      weights.indices.map { i in
        let surprise = logTotal - (Double(candidates.logit(i)) - maximum)
        return UInt64(Float(abs(surprise - entropy)).bitPattern) << 32 | UInt64(i)
      })
    var held = 0.0
    var kept = 0
    repeat {
      nearest.sort(first: kept + 1)
      held += weights[Int(nearest.keys[kept] & 0xFFFF_FFFF)]
      kept += 1
    } while held <= p * total && kept < weights.count
    candidates.keep(positions: nearest.keys.prefix(kept).map { Int($0 & 0xFFFF_FFFF) }.sorted())
  }
}

/// Divides the logits; what comes before it in the chain sees the model's own probabilities.
struct Temperature: SamplingStage {
  let temperature: Double

  init?(_ options: SamplingOptions) {
    guard options.temperature != 1 else { return nil }
    temperature = options.temperature
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) { candidates.temperature = temperature }
}
