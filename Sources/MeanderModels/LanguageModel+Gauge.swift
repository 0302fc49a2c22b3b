import MeanderErrors
import MeanderFiles
import MeanderKernels

extension LanguageModel {
  /// Per layer and head, what the state looks like now. O(state).
  package func gauge(of state: ModelState, kernels: Kernels) -> [[HeadReading]] {
    index.steps.indices.map { readings(of: state, layer: $0, kernels: kernels) }
  }

  /// One layer's heads, with their alarms.
  ///
  /// A head raises its alarm when its norm is more than twice the largest that it had within the trained length, and at the
  /// end of that length it still held more than half of what it first read.
  ///
  /// Stuffed Mamba asks for 99 % in place of half, for models trained on 8,192 tokens. But what a head comes to hold of even
  /// input is 1 / (1 - r) times what it holds after the trained length, r being what it keeps over that: beyond twice as
  /// much from r = ½ on, and a hundred times at 99 %. Of heads that overflowed in models of short training few keep 99 %.
  func readings(of state: ModelState, layer: Int, kernels: Kernels) -> [HeadReading] {
    var readings = bareReadings(of: state, layer: layer, kernels: kernels)
    guard let length = facts.intent.trainedLength, state.position > Int64(length) else { return readings }
    let norms = state.matrix(gaugeRegions[layer].norms)
    let retentions = state.doubles(gaugeRegions[layer].retentions)
    for head in readings.indices where norms[0, head] > 0 {
      let canOutgrow = retentions[head] > Self.logHalf
      readings[head].alarm = canOutgrow && readings[head].norm > 2 * Double(norms[0, head])
    }
    return readings
  }

  /// The same without alarms.
  private func bareReadings(of state: ModelState, layer: Int, kernels: Kernels) -> [HeadReading] {
    index.steps[layer].flatMap { blocks.steps[$0].mixer.readings(of: mixerState(state, $0), kernels: kernels) }
  }

  /// The logarithm of what a head must keep of its past over the trained length to be able to outgrow its state twofold.
  package static let logHalf = -0.6931471805599453

  /// Within the trained length norms are noted at multiples of this.
  static func noteGrid(_ trainedLength: Int) -> Int { min(grid, max(1, trainedLength / 4)) }

  /// At multiples of the grid, and within the trained length a little more often, and at its end.
  func isGaugeRead(at position: Int64) -> Bool {
    if position % Int64(Self.grid) == 0 { return true }
    guard let length = facts.intent.trainedLength, position <= Int64(length) else { return false }
    return position == Int64(length) || position % Int64(Self.noteGrid(length)) == 0
  }

  /// Refuses a state that is not finite, and notes norms and retentions within the trained length.
  func readGauge(_ state: ModelState, _ kernels: Kernels) throws {
    let notes = facts.intent.trainedLength.map { state.position <= Int64($0) } ?? false
    for layer in index.steps.indices {
      let readings = bareReadings(of: state, layer: layer, kernels: kernels)
      if let head = readings.firstIndex(where: { !$0.isFinite }) { throw nonFinite(layer, head, state.position) }
      guard notes else { continue }
      let norms = state.matrix(gaugeRegions[layer].norms)
      let retentions = state.doubles(gaugeRegions[layer].retentions)
      for (head, reading) in readings.enumerated() {
        norms[0, head] = max(norms[0, head], Float(reading.norm))
        retentions[head] = reading.retention
      }
    }
  }

  /// Fills in what a state of an earlier format does not hold: the retention at the end of the trained length, from the
  /// decay since the start, as if that had been even.
  package func completeRetentions(of state: ModelState, kernels: Kernels) {
    guard let length = facts.intent.trainedLength, state.position > 0 else { return }
    let share = min(1, Double(length) / Double(state.position))
    for layer in index.steps.indices {
      let readings = bareReadings(of: state, layer: layer, kernels: kernels)
      let retentions = state.doubles(gaugeRegions[layer].retentions)
      for (head, reading) in readings.enumerated() { retentions[head] = reading.retention * share }
    }
  }

  func firstNonFinite(_ state: ModelState, _ kernels: Kernels) -> MeanderError? {
    for layer in index.steps.indices {
      let readings = bareReadings(of: state, layer: layer, kernels: kernels)
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
    blocks.steps.indices.flatMap { step in
      blocks.steps[step].mixer.referenceState(mixerState(state, step)).map {
        ReferenceTensor(name: "layers.\(blocks.steps[step].layer).\($0.name)", shape: $0.shape, values: $0.values)
      }
    }
  }
}

/// What the gauge's alarm remembers of a layer: per head the largest norm within the trained length, and the sum of the
/// log-decay over it.
struct GaugeRegions: Sendable {
  let norms: StateRegion
  let retentions: StateRegion

  init(in layout: inout StateLayout, layer: Int, heads: Int) {
    norms = layout.append("layers.\(layer).trained_norm", .f32, [heads], role: .record)
    retentions = layout.append("layers.\(layer).trained_retention", .f64, [heads], role: .record)
  }
}
