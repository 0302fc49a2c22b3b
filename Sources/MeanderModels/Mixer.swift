import MeanderErrors
import MeanderKernels

/// A sequence mixer: a run of T rows and a state in, rows and the state out. T = 1 is decoding.
///
/// One forward definition per mixer, written over `Operations`; it streams, and with a tape it trains.
package protocol Mixer: Sendable {
  /// Declares the regions of this layer's state.
  ///
  /// - Parameters:
  ///   - layout: where to append them.
  ///   - layer: the layer's name, `layers.3`; steps of one layer share it.
  func declareState(in layout: inout StateLayout, layer: String) -> [StateRegion]

  /// Reads T rows, moves the state forward, and adds the mixed rows to the residual.
  ///
  /// - Parameters:
  ///   - input: T × D, already normalised.
  ///   - outputs: how many of the last rows are asked for; the state always takes in all T.
  ///   - residual: outputs × D, the last rows of the residual stream.
  /// - Returns: residual + mixer(input), outputs × D.
  func forward(_ input: MixerInput, state: MixerState, outputs: Int, residual: Matrix, _ operations: Operations) -> Matrix

  /// How many heads the gauge reads.
  var gaugedHeads: Int { get }

  /// What the gauge reads of this layer's state; empty for a mixer without heads of recurrent state.
  func readings(of state: MixerState, kernels: Kernels) -> [HeadReading]

  /// What of this mixer mitigations can change.
  var gating: MixerGating { get }

  /// The recurrent state as what acts between tokens finds it; nil where it has no heads that decay as one.
  func headed(_ state: MixerState) -> HeadedState?

  /// The state as other frameworks lay it out: names within the layer, shapes, values.
  func referenceState(_ state: MixerState) -> [ReferenceTensor]

  /// The same mixer with its projections of each of `rows` (V × D, normalised embeddings) at hand.
  func tabulated(_ rows: Matrix, kernels: Kernels) -> Self

  /// Bytes of the tables that `tabulated` made.
  var tableByteCount: Int { get }

  /// Bytes of what it makes of its weights when that is first needed, at most; 0, as a rule.
  var derivedByteCount: Int { get }

  /// An upper bound on the floats that `forward` allocates for each token.
  var scratchPerToken: Int { get }

  /// How many tokens it holds one by one; nil for a state that holds none so.
  var contextTokens: Int? { get }

  /// Whether it shows an observer its heads' time steps.
  var showsSteps: Bool { get }

  /// Whether it attends to single tokens, and shows an observer how much to each.
  var attends: Bool { get }

  /// How many numbers of each token it leaves in `MixerInput.carried` for later steps; 0, as a rule.
  var carriedWidth: Int { get }

  /// How long a stream can be; nil, as it should be, where it has no end.
  var capacity: StreamCapacity? { get }
}

extension Mixer {
  package var gaugedHeads: Int { 0 }
  package func readings(of state: MixerState, kernels: Kernels) -> [HeadReading] { [] }
  package func tabulated(_ rows: Matrix, kernels: Kernels) -> Self { self }
  package var tableByteCount: Int { 0 }
  package var derivedByteCount: Int { 0 }
  package var capacity: StreamCapacity? { nil }
  package var contextTokens: Int? { nil }
  package var carriedWidth: Int { 0 }
  package var attends: Bool { false }
  package var showsSteps: Bool { false }
}

/// The part of a model's state that belongs to one layer.
package struct MixerState {
  package let state: ModelState
  package let regions: [StateRegion]
  /// How the gates of this layer's heads are set; empty leaves them as they were trained.
  package var gates: [GateTransform] = []
  /// A second recurrent state that moves beside this layer's own.
  package var shadow: ShadowState?
  /// What fp32 cannot hold of the recurrent state, where that is kept.
  package var rest: Matrix?

  package init(
    state: ModelState, regions: [StateRegion], gates: [GateTransform] = [], shadow: ShadowState? = nil, rest: Matrix? = nil
  ) {
    (self.state, self.regions, self.gates, self.shadow, self.rest) = (state, regions, gates, shadow, rest)
  }

  package func matrix(_ index: Int) -> Matrix { state.matrix(regions[index]) }
  package func doubles(_ index: Int) -> Doubles { state.doubles(regions[index]) }
}

/// A tensor for comparison with other frameworks.
package struct ReferenceTensor: Sendable {
  package let name: String
  package let shape: [Int]
  package let values: [Float]
}

/// One head's state at a moment.
package struct HeadReading: Sendable, Hashable {
  /// The Frobenius norm of the state.
  package var norm: Double
  /// The largest entry over the root of the mean square.
  package var largestOverRMS: Double
  /// The sum of the log-decay since the start: exp of it is what is left of the first token.
  package var retention: Double
  /// False as soon as one entry is infinite or not a number.
  package var isFinite: Bool
  /// Whether the head forgets little and has grown past what it was in training (`papers` call it state collapse).
  package var alarm = false
}

extension HeadReading {
  /// A whole state as one head.
  ///
  /// - Parameter retention: the log of what its slowest number keeps of the first token, where anybody can say.
  init(ofAll state: Matrix, retention: Double = -.infinity, kernels: Kernels) {
    let statistics = kernels.headStatistics(state, heads: 1)[0]
    let norm = statistics.sumOfSquares.squareRoot()
    let scale = norm / Double(state.rows * state.columns).squareRoot()
    self.init(
      norm: norm, largestOverRMS: scale > 0 ? Double(statistics.largest) / scale : 0, retention: retention,
      isFinite: statistics.isFinite)
  }
}

extension ReferenceTensor {
  /// A convolution's window (K × C) as other frameworks hold it: C × K, oldest first.
  static func window(_ window: Matrix) -> ReferenceTensor {
    let values = window.array()
    let (width, channels) = (window.rows, window.columns)
    let turned = (0..<channels).flatMap { channel in (0..<width).map { values[$0 * channels + channel] } }
    return ReferenceTensor(name: "conv", shape: [channels, width], values: turned)
  }
}
