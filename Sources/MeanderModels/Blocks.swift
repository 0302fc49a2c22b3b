import MeanderErrors
import MeanderKernels

/// The weights of a model: a list of residual steps, and what stands around them.
///
/// Whatever is published is such a list: a layer of Mamba-2 is one step, a layer of a transformer is two (attention, then
/// feed-forward), and a hybrid's layers differ in their mixers alone.
package struct Blocks: Sendable {
  /// V × D
  package var embedding: Weight
  /// What the embedding's rows are multiplied by.
  package var embeddingScale: Float
  /// Learned absolute positions, as many as the model can have × D, added to the embedding.
  package var positions: Weight?
  /// A norm of the embedded rows, before the first step.
  package var embeddingNorm: Norm?
  package var steps: [Block]
  /// Whether steps find each token's embedded row in `MixerInput.carried`.
  package var carriesEmbedding = false
  package var finalNorm: Norm
  package var head: OutputHead

  package init(
    embedding: Weight, embeddingScale: Float = 1, positions: Weight? = nil, embeddingNorm: Norm? = nil, steps: [Block],
    finalNorm: Norm, head: OutputHead
  ) {
    (self.embedding, self.embeddingScale, self.positions) = (embedding, embeddingScale, positions)
    self.embeddingNorm = embeddingNorm
    (self.steps, self.finalNorm, self.head) = (steps, finalNorm, head)
  }

  /// How many tokens a stream can have; nil where it has no end.
  package var capacity: StreamCapacity? {
    let all = steps.compactMap(\.mixer.capacity) + [positions].compactMap { $0 }.map {
      StreamCapacity(tokens: $0.packed.outputs, what: "the table of learned positions", remedy: "Give it shorter input.")
    }
    return all.min { $0.tokens < $1.tokens }
  }

  /// Declares the regions of every step's state.
  package func declareState(in layout: inout StateLayout) -> [[StateRegion]] {
    steps.map { $0.mixer.declareState(in: &layout, layer: "layers.\($0.layer)") }
  }

  /// Numbers of each token that one step leaves for later ones, beside the residual stream.
  var carriedWidth: Int {
    carriesEmbedding ? embedding.packed.inner : steps.reduce(0) { max($0, $1.mixer.carriedWidth) }
  }

  /// Whether a token's first normalised row depends on the token alone.
  var firstRowsAreTokens: Bool { positions == nil && steps.first?.norm != nil }
}

/// One residual step of a layer: norm → mixer → norm → scale → add, where both norms may be absent and the scale one.
package struct Block: Sendable {
  /// The layer that the step belongs to, as the checkpoint numbers it.
  package var layer: Int
  package var norm: Norm?
  package var mixer: any Mixer
  /// A norm of what the mixer gives.
  package var outputNorm: Norm?
  /// What the mixer's rows are multiplied by before they join the residual stream.
  package var scale: Float
  /// Where this is set, the normalised rows times it take the place of the residual stream that is added to.
  package var normShare: Float?

  package init(
    layer: Int, norm: Norm?, mixer: any Mixer, outputNorm: Norm? = nil, scale: Float = 1, normShare: Float? = nil
  ) {
    (self.layer, self.norm, self.mixer, self.outputNorm, self.scale) = (layer, norm, mixer, outputNorm, scale)
    self.normShare = normShare
  }
}

/// A norm over rows, with its weights.
package struct Norm: Sendable {
  package enum Kind: Sendable {
    /// x / sqrt(mean(x²) + ε) · weight (Zhang and Sennrich 2019).
    case rootMeanSquare
    /// (x - mean) / sqrt(variance + ε) · weight + bias (Ba and others 2016).
    case layer
  }

  package let kind: Kind
  /// 1 × D, as it is multiplied with.
  package let weight: Matrix
  /// 1 × D, of a layer norm.
  package let bias: Matrix?
  package let epsilon: Float
  /// In training, the parameter that `weight` was made of.
  package let source: Matrix?

  package init(_ kind: Kind, weight: Matrix, bias: Matrix? = nil, epsilon: Float, source: Matrix? = nil) {
    (self.kind, self.weight, self.bias, self.epsilon) = (kind, weight, bias, epsilon)
    self.source = source ?? weight
  }
}

/// How many tokens a stream can have, why, and what to do about it.
package struct StreamCapacity: Sendable {
  package var tokens: Int
  package var what: String
  package var remedy: String

  /// Throws `.limit` where `count` tokens more would not fit behind `position`.
  package func hold(_ position: Int64, _ count: Int, of model: String) throws {
    guard position + Int64(count) > Int64(tokens) else { return }
    throw MeanderError(
      .limit, "\(what) holds \(tokens) tokens, and \(count) more would follow \(position)", at: model, remedy: remedy)
  }
}

/// What makes logits of the final rows: cap · tanh(scale · x·Wᵀ / cap), or without a cap scale · x·Wᵀ.
package struct OutputHead: Sendable {
  /// V × D; the embedding itself where the two are tied.
  package var weight: Weight
  package var scale: Float
  package var cap: Float?

  package init(_ weight: Weight, scale: Float = 1, cap: Float? = nil) {
    (self.weight, self.scale, self.cap) = (weight, scale, cap)
  }
}

/// Which steps make up each layer, and which of them has the state that mitigations and the gauge know.
struct LayerIndex: Sendable {
  /// Per layer, its steps in their order.
  let steps: [[Int]]
  /// Per layer, the step whose state decays: at most one of a layer does.
  let recurrent: [Int?]
  /// Per step, the layer that mitigations know it by; nil where they have nothing to do with it.
  let gated: [Int?]

  init(_ blocks: Blocks, layers: Int) {
    let all = blocks.steps.indices
    steps = (0..<layers).map { layer in all.filter { blocks.steps[$0].layer == layer } }
    recurrent = steps.map { steps in
      let found = steps.filter { step in
        if case .none = blocks.steps[step].mixer.gating { return false }
        return true
      }
      precondition(found.count <= 1, "a layer of two recurrent states")
      return found.first
    }
    let owners = recurrent
    gated = all.map { step in owners.firstIndex { $0 == step } }
  }
}

extension WeightReader {
  /// A root-mean-square norm; `offset` is added to its weight, which some models store less one.
  package func rootMeanSquareNorm(_ name: String, width: Int, epsilon: Float, offset: Float = 0) throws -> Norm {
    let source = try row(name, count: width)
    guard offset != 0 else { return Norm(.rootMeanSquare, weight: source, epsilon: epsilon) }
    let weight = Matrix(source.array().map { $0 + offset }, rows: 1, columns: width)
    return Norm(.rootMeanSquare, weight: weight, epsilon: epsilon, source: source)
  }

  /// A layer norm, whose tensors are called `prefix`weight and, where it has one, `prefix`bias.
  package func layerNorm(_ prefix: String, width: Int, epsilon: Float, hasBias: Bool = true) throws -> Norm {
    Norm(
      .layer, weight: try row(prefix + "weight", count: width),
      bias: hasBias ? try row(prefix + "bias", count: width) : nil, epsilon: epsilon)
  }
}
