import MeanderKernels

/// A state between two tokens, at a multiple of the grid, as mitigations find it.
package struct GridMoment {
  let model: LanguageModel
  let state: ModelState
  let kernels: Kernels

  /// Tokens read so far.
  var position: Int64 { state.position }

  /// The recurrent state of a layer; nil where it has no heads.
  func headed(_ layer: Int) -> HeadedState? {
    model.index.recurrent[layer].flatMap { model.blocks.steps[$0].mixer.headed(model.mixerState(state, $0)) }
  }

  /// The shadow of a layer, whether it moved with the last tokens or not.
  func shadow(_ layer: Int) -> Matrix? { model.plan.shadows[layer].map { state.matrix($0) } }

  /// What the gauge says of each head, alarms included. O(state of the layer).
  func readings(_ layer: Int) -> [HeadReading] { model.readings(of: state, layer: layer, kernels: kernels) }

  /// The largest norm of each head within the trained length; 0 where it is not known.
  func trainedNorm(_ layer: Int, _ head: Int) -> Double { Double(state.matrix(model.gaugeRegions[layer].norms)[0, head]) }

  /// Moves one head `share` of the way to its shadow.
  func blend(_ head: Int, of headed: HeadedState, with shadow: Matrix, share: Double) {
    let (own, other) = (headed.stored(head), headed.rows(head, of: shadow))
    // Times zero, a number that is not finite would stay.
    if share == 1 { own.copy(from: other) } else { kernels.combine(1 - share, own, share, other, into: own) }
  }

  /// Multiplies one head's state by `factor`.
  func scale(_ head: Int, of headed: HeadedState, by factor: Double) {
    kernels.scale(headed.stored(head), by: factor)
  }
}

extension MitigationPlan {
  /// The transforms of the tokens that come next; empty where every head stays as it was trained.
  func gates(at state: ModelState) -> [[GateTransform]] {
    guard !actions.isEmpty else { return gates }
    var result = gates
    for action in actions { action.adjust(&result, at: state) }
    return result
  }

  /// Transforms of every head, where none was set: a start for actions that set some.
  func identities() -> [[GateTransform]] { layers.map { [GateTransform](repeating: .identity, count: $0.count) } }

  func shadow(_ layer: Int, _ state: ModelState) -> ShadowState? {
    guard !shadows.isEmpty, let region = shadows[layer] else { return nil }
    guard actions.contains(where: { $0.replacesStates && $0.needsShadow(layer, at: state) }) else { return nil }
    return ShadowState(recurrence: state.matrix(region), factors: factors[layer].map { state.doubles($0) })
  }

  /// What the mitigations have done to a state so far, a sentence each.
  package func report(_ state: ModelState) -> [String] { actions.flatMap { $0.report(state) } }
}

extension Double {
  /// A count that a region of doubles holds, whatever a damaged file put there.
  var count: Int64 { isFinite ? Int64(Swift.min(Swift.max(self, 0), 0x1p62)) : 0 }
}
