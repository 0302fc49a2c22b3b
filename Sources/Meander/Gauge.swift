import MeanderModels

/// What a recurrent state looks like at a moment.
public struct Gauge: Sendable, Hashable {
  /// One head of a layer.
  public struct Head: Sendable, Hashable {
    /// The Frobenius norm of the head's state.
    public let norm: Double
    /// The largest entry over the root of the mean square: 1 for a state whose entries are all alike.
    public let largestOverRMS: Double
    /// The natural logarithm of what is left of the first token: the sum of the log-decay since the start. 0
    /// has forgotten nothing.
    public let retention: Double
  }

  /// One layer; its mixer may have no heads of recurrent state.
  public struct Layer: Sendable, Hashable {
    /// H of them, in the layer's order.
    public let heads: [Head]
  }

  /// A head that forgets little over the trained length and has outgrown what it was in training.
  public struct Alarm: Sendable, Hashable {
    /// The layer, counted from 0.
    public let layer: Int
    /// The head within its layer, counted from 0.
    public let head: Int
    /// Tokens read when the alarm was seen.
    public let position: Int64
    /// One sentence on what was seen.
    public let text: String
  }

  /// L of them, in the model's order.
  public let layers: [Layer]
  /// The heads that gave cause for one; empty where the model's trained length is not known.
  public let alarms: [Alarm]

  init(_ readings: [[HeadReading]], position: Int64) {
    layers = readings.map { heads in
      Layer(heads: heads.map { Head(norm: $0.norm, largestOverRMS: $0.largestOverRMS, retention: $0.retention) })
    }
    alarms = readings.enumerated().flatMap { layer, heads in
      heads.enumerated().compactMap { head, reading in
        guard reading.alarm else { return nil }
        return Alarm(
          layer: layer, head: head, position: position,
          text: "layer \(layer), head \(head) keeps what it reads and has grown past what it was in training")
      }
    }
  }
}
