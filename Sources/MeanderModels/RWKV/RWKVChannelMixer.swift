import MeanderErrors
import MeanderFiles
import MeanderKernels

/// RWKV's feed-forward, which sees each token beside the one before it:
///
///     k = relu(W_key (u + (u' - u) ∘ mix_k))²              u' the row before u
///     out = W_value k                                      (RWKV-7)
///     out = σ(W_rec (u + (u' - u) ∘ mix_r)) ∘ W_value k    (RWKV-4 to 6)
///
/// RWKV-4 names the shares the other way round: its mix is what of u is kept.
package struct RWKVChannelMixer: Mixer {
  /// D
  let width: Int
  /// The width between the projections.
  let inner: Int
  /// 1 × D
  let keyMix: Matrix
  /// inner × D
  let key: Weight
  /// D × inner
  let value: Weight
  /// 1 × D, and D × D.
  var receptanceMix: Matrix?
  var receptance: Weight?
  /// Whether the mixes are shares of u itself.
  var keepsShare = false

  private static let shift = 0

  package func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion] {
    [layout.append("\(layer).ffn_shift", .f32, [width])]
  }

  package func forward(
    _ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations
  ) -> Matrix {
    let shifted = operations.shifted(input.rows, last: state.matrix(Self.shift))
    guard outputs > 0 else { return residual }
    let asked = input.count - outputs..<input.count
    let (x, before) = (input.rows.rows(asked), shifted.rows(asked))
    func mixed(_ mix: Matrix) -> Matrix {
      operations.addProduct(x, before, keepsShare ? operations.oneMinus(mix) : mix)
    }
    let bent = operations.activate(operations.project(mixed(keyMix), key), .reluSquared)
    guard let receptance, let receptanceMix else { return operations.project(bent, value, addingTo: residual) }
    let opened = operations.project(mixed(receptanceMix), receptance)
    return operations.add(operations.activate(opened, .sigmoid, times: operations.project(bent, value)), to: residual)
  }

  package var gating: MixerGating { .none }

  package func referenceState(_ state: MixerState) -> [ReferenceTensor] {
    [ReferenceTensor(name: "ffn_shift", shape: [width], values: state.matrix(Self.shift).array())]
  }

  package var scratchPerToken: Int { 12 * (width + 16) + 2 * (inner + 16) }
}
