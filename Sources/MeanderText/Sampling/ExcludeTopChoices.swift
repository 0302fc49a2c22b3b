/// With a given probability removes all of the tokens above a threshold but the least likely of them, which
/// opens uncommon continuations without letting in nonsense (p-e-w, text-generation-webui pull request 6335).
struct ExcludeTopChoices: SamplingStage {
  let options: SamplingOptions.Xtc

  init?(_ options: SamplingOptions) {
    guard options.xtc.probability > 0, options.xtc.threshold <= 0.5, options.mirostat.version == 0 else { return nil }
    self.options = options.xtc
  }

  func narrow(_ candidates: inout Candidates, _ memory: inout SamplerMemory) {
    guard memory.generator.uniform() < options.probability else { return }
    let maximum = candidates.maximum
    let wanted = options.threshold * candidates.totalWeight(maximum: maximum)
    var above = 0
    while above < candidates.count {
      candidates.sort(first: above + 1)
      guard candidates.weight(above, maximum: maximum) >= wanted else { break }
      above += 1
    }
    if above > 1 { candidates.drop(first: above - 1) }
  }
}
