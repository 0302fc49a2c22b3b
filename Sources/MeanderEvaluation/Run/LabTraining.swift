import MeanderErrors
import MeanderKernels
import MeanderTraining
import Synchronization

/// Training inside a measurement that makes its own models.
enum LabTraining {
  /// Trains on a thread of its own, so that none of those that tasks share is held for hours, going on from what stands there. Throws
  /// `.cancelled`, with a checkpoint behind it, where the task was.
  static func run(_ recipe: Recipe, meter: Meter) async throws {
    let isCancelled = CancelFlag()
    let thread = try TurnThread()
    let finished = try await withTaskCancellationHandler {
      try await withCheckedThrowingContinuation { (continuation: CheckedContinuation<Bool, any Error>) in
        thread.add {
          continuation.resume(
            with: Result {
              let run = try TrainingRun(recipe, threads: 1, resumes: true)
              let ending = try run.run(shouldStop: { isCancelled.isSet }, visit: { meter.add($0.tokens) })
              return ending == .finished
            })
          return true
        }
      }
    } onCancel: {
      isCancelled.set()
    }
    guard finished else { throw MeanderError(.cancelled, "the training was interrupted", at: recipe.output) }
  }
}

/// A mark that one thread sets and another reads.
private final class CancelFlag: Sendable {
  private let value = Atomic(false)
  var isSet: Bool { value.load(ordering: .relaxed) }
  func set() { value.store(true, ordering: .relaxed) }
}
