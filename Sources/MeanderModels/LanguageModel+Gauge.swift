import MeanderErrors
import MeanderKernels

extension LanguageModel {
  /// Per layer and head, what the state looks like now. O(state).
  ///
  /// A head raises its alarm when it still holds more than 99 % of what it first read at the end of the trained length
  /// and its norm is more than twice the largest it had within that length (Stuffed Mamba's picture of state collapse).
  package func gauge(of state: ModelState, kernels: Kernels) -> [[HeadReading]] {
    blocks.layers.indices.map { layer in
      var readings = blocks.layers[layer].mixer.readings(of: mixerState(state, layer), kernels: kernels)
      guard let length = facts.intent.trainedLength, state.position > Int64(length) else { return readings }
      let trained = state.matrix(gaugeRegions[layer]).array()
      let share = Double(length) / Double(state.position)
      for head in readings.indices where trained[head] > 0 {
        let forgetsNothing = readings[head].retention * share > -0.01
        readings[head].alarm = forgetsNothing && readings[head].norm > 2 * Double(trained[head])
      }
      return readings
    }
  }

  /// At a multiple of the grid: refuses a state that is not finite, and notes norms within the trained length.
  func readGauge(_ state: ModelState, _ kernels: Kernels) throws {
    let notes = facts.intent.trainedLength.map { state.position <= Int64(max($0, Self.grid)) } ?? false
    for layer in blocks.layers.indices {
      let readings = blocks.layers[layer].mixer.readings(of: mixerState(state, layer), kernels: kernels)
      if let head = readings.firstIndex(where: { !$0.isFinite }) { throw nonFinite(layer, head, state.position) }
      guard notes else { continue }
      let trained = state.matrix(gaugeRegions[layer])
      for (head, reading) in readings.enumerated() {
        trained[0, head] = max(trained[0, head], Float(reading.norm))
      }
    }
  }

  func firstNonFinite(_ state: ModelState, _ kernels: Kernels) -> MeanderError? {
    for layer in blocks.layers.indices {
      let readings = blocks.layers[layer].mixer.readings(of: mixerState(state, layer), kernels: kernels)
      if let head = readings.firstIndex(where: { !$0.isFinite }) { return nonFinite(layer, head, state.position) }
    }
    return nil
  }

  private func nonFinite(_ layer: Int, _ head: Int, _ position: Int64) -> MeanderError {
    MeanderError(
      .nonFinite, "the recurrent state is no longer finite", at: "layer \(layer), head \(head), token \(position)",
      remedy: "Resume from an earlier snapshot. Meander shows no text made from such a state.")
  }

  /// The state as other frameworks lay it out: `layers.N.ssm`, `layers.N.conv`.
  package func referenceState(_ state: ModelState) -> [ReferenceTensor] {
    blocks.layers.indices.flatMap { layer in
      blocks.layers[layer].mixer.referenceState(mixerState(state, layer)).map {
        ReferenceTensor(name: "layers.\(layer).\($0.name)", shape: $0.shape, values: $0.values)
      }
    }
  }
}
