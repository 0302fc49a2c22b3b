import Meander
import Synchronization

/// What is measured: a model, with the mitigations under which its state evolves.
package struct LabSubject: Sendable {
  /// One for each stream that is read at the same time: the same model on engines of their own.
  ///
  /// A small model gains more from two streams on a thread each than from one whose products are split over both.
  package let models: [Model]
  /// The mitigations in force, as they are written; none where it is empty.
  package var mitigations: [String] { models.first?.mitigations.map(\.description) ?? [] }
  /// How many units are worked on at the same time.
  package let streams: Int

  /// `models` must hold one at least, all of one fingerprint.
  package init(_ models: [Model]) {
    precondition(Set(models.map(\.fingerprint)).count == 1, "streams of different models")
    self.models = models
    streams = models.count
  }

  /// No model: for a measurement that makes its own.
  package init(streams: Int) {
    models = []
    self.streams = max(1, streams)
  }

  /// The model, where there is one.
  package var model: Model { models[0] }

  /// A session that has read nothing. Every session that the lab reads with is opened here.
  package func session(stream: Int) throws -> Session { try Session(models[stream]) }
}

/// One of the streams that a measurement reads side by side.
package struct LabStream: Sendable {
  package let subject: LabSubject
  package let number: Int
  package let seed: UInt64
  let meter: Meter

  package init(_ subject: LabSubject, number: Int = 0, seed: UInt64 = 1) {
    self.init(subject, number: number, seed: seed, meter: Meter())
  }

  init(_ subject: LabSubject, number: Int, seed: UInt64, meter: Meter) {
    self.subject = subject
    self.number = number
    self.seed = seed
    self.meter = meter
  }

  package var model: Model { subject.models[number] }

  package func session() throws -> Session { try subject.session(stream: number) }

  /// Feeds `bytes` and counts them.
  package func read(_ bytes: [UInt8], _ session: Session) async throws {
    try await session.feed(bytes: bytes)
    meter.add(bytes.count)
  }

  /// Feeds `bytes` and counts them; the scores of the tokens that were decided.
  package func score(_ bytes: [UInt8], _ session: Session, isFinal: Bool = false) async throws -> [TokenScore] {
    let scores = try await session.score(bytes: bytes, isFinal: isFinal)
    meter.add(bytes.count)
    return scores
  }
}

/// How many bytes all streams have read.
final class Meter: Sendable {
  private let value = Atomic<Int>(0)
  var bytes: Int { value.load(ordering: .relaxed) }
  func add(_ bytes: Int) { value.wrappingAdd(bytes, ordering: .relaxed) }
}
