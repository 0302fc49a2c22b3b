import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderTestSupport
import Testing

/// A published model, from its GGUF file: SmolLM2-135M-Instruct in Q4_1 against transformers on the same weights widened.
@Suite(.serialized, .enabled(if: FetchedModel.smolLM2 != nil, Comment(rawValue: FetchedModel.absence)))
struct SmolLM2Tests {
  /// One prompt of `golden.json`.
  private struct Prompt {
    let json: JSON
    var ids: [Int32] { integers(json["ids"]) }
    var reference: JSON? { json["dequantised"] }
    var llama: JSON? { json["llama_cpp"] }

    func integers(_ json: JSON?) -> [Int32] { json?.array?.compactMap { $0.integer.map { Int32($0) } } ?? [] }
    func doubles(_ json: JSON?) -> [Double?] { json?.array?.map(\.double) ?? [] }
  }

  private func prompts() throws -> [Prompt] {
    let golden = try JSON.parse(Fixture.bytes("smollm2-135m-instruct-gguf/golden.json"))
    return try #require(golden["prompts"]?.array).map { Prompt(json: $0) }
  }

  private func harness(_ compute: Compute) throws -> Harness {
    try Harness(ModelFiles.resolve(#require(FetchedModel.smolLM2), environment: [:]), compute: compute)
  }

  private func logProbabilities(_ logits: ArraySlice<Float>) -> [Double] {
    let largest = Double(logits.max() ?? 0)
    let sum = logits.reduce(0.0) { $0 + exponential(Double($1) - largest) }
    return logits.map { Double($0) - largest - logarithm(sum) }
  }

  @Test func floatActivationsGiveTheReferencesLogProbabilities() throws {
    var differences: [Double] = []
    let loaded = try harness(.fp32)
    for prompt in try prompts() {
      let harness = Harness(sharing: loaded)
      let vocabulary = harness.model.facts.vocabulary
      let logits = try harness.logits(prompt.ids)
      let rows = prompt.ids.indices.map { logProbabilities(logits[$0 * vocabulary..<($0 + 1) * vocabulary]) }
      for (place, expected) in prompt.doubles(prompt.reference?["prompt_logprobs"]).enumerated() {
        guard let expected, place > 0 else { continue }
        differences.append(rows[place - 1][Int(prompt.ids[place])] - expected)
      }
      let last = try #require(rows.last)
      let likeliest = prompt.doubles(prompt.reference?["top10_logprobs"])
      for (id, expected) in zip(prompt.integers(prompt.reference?["top10_ids"]), likeliest) {
        differences.append(last[Int(id)] - (expected ?? .nan))
      }
      // Greedy tokens wherever the reference was sure; where it was not, its choice is followed.
      let margins = prompt.doubles(prompt.reference?["greedy_margins"])
      for (id, margin) in zip(prompt.integers(prompt.reference?["greedy_ids"]), margins) {
        let logits = try harness.finalLogits()
        let best = logits.indices.max { logits[$0] < logits[$1] }
        if margin ?? 0 > 0.02 { #expect(best == Int(id)) }
        try harness.read([id])
      }
    }
    #expect(differences.count > 40)
    let largest = differences.map(abs).max() ?? .nan
    let rms = (differences.reduce(0) { $0 + $1 * $1 } / Double(differences.count)).squareRoot()
    #expect(largest <= 5e-3, "the largest difference is \(largest)")
    #expect(rms <= 1e-3, "the differences are \(rms) RMS")
  }

  /// With activations of eight bits the bits do not depend on the cut, and the likeliest tokens' log-probabilities are as close to the reference's as llama.cpp's are.
  @Test func roundedActivationsStayAsCloseAsLlamaCpp() throws {
    var ours = 0.0
    var theirs = 0.0
    let loaded = try harness(.int8)
    for prompt in try prompts() {
      let (harness, parts) = (Harness(sharing: loaded), Harness(sharing: loaded))
      try harness.read(prompt.ids)
      try parts.read(prompt.ids, cut: [1, 2, 3, 5])
      #expect(try harness.finalLogits() == parts.finalLogits())
      let mine = try logProbabilities(harness.finalLogits()[...])
      func likeliest(_ json: JSON?) -> [Int32: Double] {
        let values = prompt.doubles(json?["top10_logprobs"]).map { $0 ?? .nan }
        return Dictionary(uniqueKeysWithValues: zip(prompt.integers(json?["top10_ids"]), values))
      }
      let (reference, llama) = (likeliest(prompt.reference), likeliest(prompt.llama))
      for (id, expected) in reference {
        guard let other = llama[id] else { continue }
        ours += (mine[Int(id)] - expected) * (mine[Int(id)] - expected)
        theirs += (other - expected) * (other - expected)
      }
    }
    #expect(theirs > 0)
    #expect(ours <= theirs, "\(ours) against \(theirs)")
  }
}
