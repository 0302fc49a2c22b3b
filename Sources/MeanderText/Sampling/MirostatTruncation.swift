/// Truncates so that the surprise of the drawn tokens keeps to a target: Mirostat (Basu et al. 2021,
/// algorithms 1 and 2).
///
/// After each draw the bound moves by eta times the error; it starts at twice the target.
struct MirostatTruncation: SamplingStage {
  let options: SamplingOptions.Mirostat

  init?(_ options: SamplingOptions) {
    guard options.mirostat.version != 0 else { return nil }
    self.options = options.mirostat
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    let maximum = candidates.maximum
    if options.version == 1 {
      candidates.keep(first: zipfCount(&candidates, maximum: maximum, bound: memory.surpriseBound))
    } else {
      let total = candidates.totalWeight(maximum: maximum)
      // Surprise above the bound is probability below 2^-bound.
      let wanted = total * Softmax.power(2, -memory.surpriseBound)
      var kept = 0
      while kept < candidates.count {
        candidates.sort(first: kept + 1)
        guard candidates.weight(kept, maximum: maximum) >= wanted else { break }
        kept += 1
      }
      candidates.keep(first: max(kept, 1))
    }
  }

  func observe(surprise: Double, _ memory: inout SamplerMemory) {
    memory.surpriseBound -= options.eta * (surprise - options.tau)
  }

  /// Algorithm 1: fits Zipf's exponent s to the 100 likeliest tokens and returns the k whose Zipf law with
  /// that exponent has the surprise `bound`.
  private func zipfCount(_ candidates: inout Candidates, maximum: Double, bound: Double) -> Int {
    candidates.sort(first: 100)
    var products = 0.0
    var squares = 0.0
    for i in 0..<max(0, min(100, candidates.count) - 1) {
      let rise = Softmax.logarithm(Double(i + 2) / Double(i + 1))
      let fall = (Double(candidates.logit(i)) - Double(candidates.logit(i + 1))) / candidates.temperature
      products += rise * fall
      squares += rise * rise
    }
    guard squares > 0 else { return 1 }
    let s = products / squares
    // A flat distribution (s = 0) has no Zipf law to cut, and at s = 1 the formula divides zero by zero.
    guard s > 1e-6 else { return candidates.count }
    let epsilon = abs(s - 1) < 1e-9 ? 1e-9 : s - 1
    let scale = epsilon / (1 - Softmax.power(Double(candidates.vocabularySize), -epsilon))
    let k = Softmax.power(scale * Softmax.power(2, bound), 1 / s)
    return k < Double(candidates.count) ? max(1, Int(k)) : candidates.count
  }
}
