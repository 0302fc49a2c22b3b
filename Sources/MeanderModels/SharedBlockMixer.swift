import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A layer of Zamba2 with a shared transformer block before its Mamba-2. With e the embedding's row:
///
///     u = norm([h | e]),   t = feed(norm(W_o attention(u)))      W_q, W_k, W_v and the feed-forward with adapters
///     h = h + mamba(norm(h + W t))
package struct SharedBlockMixer: Mixer {
  /// What all uses of a block share.
  struct Block: Sendable {
    var sizes: AttentionMixer.Sizes
    var norm, feedNorm: Norm
    /// The width of the feed-forward.
    var inner: Int
    var activation: Activation
    var q, k, v, output, gateUp, down: Weight
  }

  /// What one use has of its own.
  struct Adapters: Sendable {
    var q, k, v: LowRank?
    var feed: LowRank
  }

  let block: Block
  let adapters: Adapters
  let bound: AttentionBound
  let rule: AttentionRule
  let linear: Weight
  let norm: Norm
  let mamba: Mamba2Mixer

  init(block: Block, adapters: Adapters, bound: AttentionBound, linear: Weight, norm: Norm, mamba: Mamba2Mixer) {
    (self.block, self.adapters, self.bound) = (block, adapters, bound)
    (self.linear, self.norm, self.mamba) = (linear, norm, mamba)
    rule = AttentionRule(
      globals: bound.globals, window: bound.locals, ceiling: bound.locals,
      scale: block.sizes.scale ?? 1 / Float(block.sizes.headWidth).squareRoot(), bias: nil, softplus: nil)
  }

  private var cacheShape: AttentionCacheShape {
    AttentionCacheShape(
      keyHeads: block.sizes.keyHeads, headWidth: block.sizes.headWidth, bound: bound, rule: rule,
      keepsFarKeys: block.sizes.positions.rotary != nil && bound.globals > 0)
  }

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    mamba.declareState(in: &layout, layer: layer) + cacheShape.declare(in: &layout, layer: layer)
  }

  private func parts(_ state: MixerState) -> (mamba: MixerState, cache: AttentionCache) {
    let count = state.regions.count - cacheShape.regions
    let own = MixerState(
      state: state.state, regions: Array(state.regions[..<count]), gates: state.gates, shadow: state.shadow,
      rest: state.rest)
    return (own, cacheShape.cache(state, first: count))
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let (own, cache) = parts(state)
    let embedded = input.carried ?? input.rows
    let u = operations.norm(operations.beside([input.rows, embedded]), block.norm)
    func adapted(_ x: Matrix, _ weight: Weight, _ path: LowRank?) -> Matrix {
      let y = operations.project(x, weight)
      guard let path else { return y }
      return operations.project(operations.project(x, path.down), path.up, addingTo: y)
    }
    let (q, k) = (adapted(u, block.q, adapters.q), adapted(u, block.k, adapters.k))
    let operands = operations.turned(
      q: q, k: k, v: adapted(u, block.v, adapters.v), position: input.position, block.sizes.positions, cacheShape)
    let attended = operations.project(operations.attention(operands, cache, rule), block.output)
    let pair = adapted(operations.norm(attended, block.feedNorm), block.gateUp, adapters.feed)
    let inner = operations.activate(
      pair.columns(0..<block.inner), block.activation, times: pair.columns(block.inner..<2 * block.inner))
    let added = operations.project(operations.project(inner, block.down), linear)
    let rows = operations.norm(operations.add(input.rows, to: added), norm)
    return mamba.forward(
      MixerInput(rows: rows, position: input.position), state: own, outputs: outputs, residual: residual, operations)
  }

  package var gaugedHeads: Int { mamba.gaugedHeads }
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] {
    mamba.readings(of: parts(state).mamba, kernels: kernels)
  }
  package var gating: MixerGating { mamba.gating }
  package func headed(_ state: MixerState) -> HeadedState? { mamba.headed(parts(state).mamba) }
  package var attends: Bool { true }

  package var contextTokens: Int? { bound.globals + bound.locals }
  package var capacity: StreamCapacity? { cacheShape.capacity }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    let (own, cache) = parts(state)
    return mamba.referenceState(own) + cacheShape.referenceState(cache, position: state.state.position)
  }

  package var scratchPerToken: Int {
    let (width, sizes) = (linear.packed.outputs, block.sizes)
    return mamba.scratchPerToken + 12 * (width + 16) + 6 * sizes.heads * (sizes.headWidth + 16)
      + 4 * sizes.keyHeads * (sizes.headWidth + 16) + 3 * sizes.headWidth + 7 * (block.inner + 16) + 4 * (adapters.feed.down.packed.outputs + 16)
  }
}
