import MeanderErrors
import MeanderFiles
import MeanderKernels

/// Qwen3-Next (Qwen Team 2025): the gated delta rule, gated attention in some layers, and experts.
package struct Qwen3Next: HybridArchitecture {
  package static let name = "qwen3_next"

  let stack: HybridStack
  let delta: GatedDeltaMixer.Sizes
  let experts: Int
  let rule: ExpertRouter
  let expertInner, sharedInner: Int
  /// Per layer, whether its feed-forward is of experts.
  private let isSparse: [Bool]

  package init(_ configuration: inout Configuration) throws {
    (stack, delta) = try HybridStack.qwenHybrid(
      &configuration,
      .init(width: 2048, inner: 5632, layers: 48, heads: 16, keyHeads: 2, vocabulary: 151_936, positions: 32768, headWidth: 256))
    experts = try configuration.integer("num_experts", 512, in: 0...1 << 16)
    var rule = ExpertRouter(perToken: try configuration.integer("num_experts_per_tok", 10, in: 0...max(0, experts)))
    rule.isNormalised = try configuration.bool("norm_topk_prob", true)
    self.rule = rule
    expertInner = try configuration.integer("moe_intermediate_size", 512, in: 1...1 << 22)
    sharedInner = try configuration.integer("shared_expert_intermediate_size", 512, in: 1...1 << 22)
    let step = try configuration.integer("decoder_sparse_step", 1, in: 1...1 << 16)
    let dense = try configuration.integers("mlp_only_layers", [], in: 0...1 << 16)
    let count = experts
    isSparse = (0..<stack.shape.layers).map { count > 0 && !dense.contains($0) && ($0 + 1) % step == 0 }
    configuration.ignore(["output_router_logits", "router_aux_loss_coef"])
  }

  package var arithmetic: String {
    """
    \(stack.arithmetic) \(delta.arithmetic) experts \(experts) \(rule.perToken) \(rule.isNormalised) \(expertInner) \
    \(sharedInner) \(isSparse.map { $0 ? "1" : "0" }.joined())
    """
  }

  package func build(from reader: WeightReader) throws -> Blocks {
    try stack.qwenHybrid(from: reader) { layer, prefix in
      guard isSparse[layer] else { return try stack.feedForward(prefix, from: reader) }
      return try sparse(prefix, reader)
    } recurrence: { prefix in
      try recurrence(prefix, reader)
    }
  }

  private func sparse(_ prefix: String, _ reader: WeightReader) throws -> ExpertsMixer {
    var mixer = try stack.experts(experts, inner: expertInner, prefix: prefix, router: "gate", rule: rule, from: reader)
    var sizes = stack.transformer.feedForward
    sizes.inner = sharedInner
    let own = prefix + "shared_expert."
    mixer.shared = try FeedForwardMixer(
      sizes, .init(gate: own + "gate_proj", up: own + "up_proj", down: own + "down_proj"), from: reader)
    mixer.sharedGate = try reader.weight(prefix + "shared_expert_gate.weight", outputs: 1, inner: shape.width)
    return mixer
  }

  /// The rows of q, k, v and z stand together for each head of keys, and those of b and a.
  private func recurrence(_ prefix: String, _ reader: WeightReader) throws -> GatedDeltaMixer {
    let (width, size) = (shape.width, delta.stateSize)
    let times = delta.heads / delta.keyHeads
    let values = times * delta.headWidth
    func rows(_ first: Int, _ count: Int, of whole: Int) -> [Range<Int>] {
      (0..<delta.keyHeads).map { $0 * whole + first..<$0 * whole + first + count }
    }
    let (all, gates) = (2 * size + 2 * values, 2 * times)
    func part(_ rows: [Range<Int>]) throws -> Weight {
      try reader.weight(
        prefix + "in_proj_qkvz.weight", outputs: delta.keyHeads * all, inner: width, rows: rows)
    }
    func gate(_ index: Int) throws -> Weight {
      try reader.weight(
        prefix + "in_proj_ba.weight", outputs: delta.keyHeads * gates, inner: width, rows: rows(index * times, times, of: gates))
    }
    return try stack.gatedDelta(
      delta, prefix: prefix,
      inputs: try part(rows(0, size, of: all) + rows(size, size, of: all) + rows(2 * size, values, of: all)),
      strength: try gate(0), decay: try gate(1), gate: try part(rows(2 * size + values, values, of: all)), from: reader)
  }
}
