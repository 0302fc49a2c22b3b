import MeanderFiles

/// A measurement of the lab: what it reads, what it finds, and what its report says. A file and a line in
/// `Measurements`.
///
/// It is cut into units that know nothing of each other, so that they run side by side, a stopped run goes on behind
/// those that are done, and any of them can be made again from seed and settings alone.
package protocol Measurement: Sendable {
  /// What the command calls it.
  static var name: String { get }
  /// Above the picture.
  var title: String { get }
  /// What decides a unit's outcome beside the model and the seed: a run is resumed only where all of it is the same.
  var settings: [(String, JSON)] { get }
  /// In the order in which they are worked on.
  var units: [MeasurementUnit] { get }

  /// The outcome of one unit. Throws `.cancelled` where its task was.
  func measure(_ unit: Int, on stream: LabStream) async throws -> JSON

  /// What the report holds beside its head: `results`, rows with `length` or other factors, and what else there is to
  /// say.
  ///
  /// - Parameter outcomes: of every unit; nil for those that were not reached.
  func report(_ outcomes: [JSON?]) throws -> [(String, JSON)]
}

/// One piece of a measurement.
package struct MeasurementUnit: Sendable, Hashable {
  /// Its name in the record of outcomes.
  package let name: String
  /// About how many bytes it reads.
  package let bytes: Int

  package init(_ name: String, bytes: Int) {
    self.name = name
    self.bytes = bytes
  }
}

/// Every measurement; a new one is a file and a line here, and its command a file and a line in `LabCommand`.
package enum Measurements {
  package static let all: [any Measurement.Type] = [
    PasskeyMeasurement.self,
    LossMeasurement.self,
    ContextMeasurement.self,
    CureMeasurement.self,
    CollapseMeasurement.self,
    TaskMeasurement.self,
    RemembranceMeasurement.self,
    CheckMeasurement.self,
    LogMeasurement.self,
    CapacityMeasurement.self,
    CascadeMeasurement.self,
    LengthGeneralizationMeasurement.self,
  ]
}
