import MeanderKernels
import MeanderModels
import Synchronization

/// How the processes of a distributed run add up what they learned. Each process, a rank, learns from its own rows of the batch.
///
/// Implemented outside of this package: `meander-mpi` does it over MPI (Docs/Training.md). Every rank makes the same calls in
/// the same order.
public protocol GradientExchange: AnyObject, Sendable {
  /// This process's place among all, from 0. Rank 0 writes log, checkpoints and model.
  var rank: Int { get }

  /// How many processes there are.
  var ranks: Int { get }

  /// Begins to add up a group's gradients over all ranks and returns at once: called while the way back through the layers below
  /// still runs, by one thread at a time. A group is a layer's parameters, or what stands around the layers.
  func begin(group: Int, _ values: [Float]) throws

  /// Waits for a group that was begun: its sum over all ranks, to the bit the same on each.
  func finish(group: Int) throws -> [Float]

  /// The sum of `values` over all ranks, to the bit the same on each; waits for them.
  func sum(_ values: [Double]) throws -> [Double]

  /// On rank 0 what every rank has, by rank; elsewhere nothing. Waits for all.
  func gather(_ bytes: [UInt8]) throws -> [[UInt8]]
}

/// The gradients of a step on their way to the other ranks: each group is sent off when the last worker has completed it.
final class GradientGroups: @unchecked Sendable {
  // Safe as Sendable: what is not locked is not written but for gradients, a group's by the one worker that completed it.
  private let exchange: any GradientExchange
  private let workers: [TrainingWorker]
  private let parameters: Parameters
  private let groups: [[Parameters.Entry]]
  private let initial: TrainedState?
  private let progress: Mutex<Progress>

  private struct Progress {
    /// How many workers have completed each group.
    var counts: [Int]
    var begun: [Int] = []
    var failure: (any Error)?
  }

  /// One group a layer, one of the parameters around the layers, and one of the initial state where it is learned.
  init(_ exchange: any GradientExchange, _ workers: [TrainingWorker], _ parameters: Parameters, layers: Int, initial: TrainedState?) {
    (self.exchange, self.workers, self.parameters, self.initial) = (exchange, workers, parameters, initial)
    groups = (0...layers).map { group in parameters.entries.filter { Self.group(of: $0, layers: layers) == group } }
    progress = Mutex(Progress(counts: Array(repeating: 0, count: layers + 2)))
  }

  private static func group(of entry: Parameters.Entry, layers: Int) -> Int {
    let parts = entry.name.split(separator: ".")
    guard let place = parts.firstIndex(of: "layers"), place + 1 < parts.count else { return layers }
    return Int(parts[place + 1]) ?? layers
  }

  /// The group of what stands around the layers; that of the initial state follows.
  var around: Int { groups.count - 1 }

  /// Notes that one worker has completed a group. The last one adds up the workers' parts and sends the sum off.
  ///
  /// Each worker completes the groups in one order and the sending happens before it goes on, so all ranks send in that order.
  func complete(_ group: Int) {
    let isLast = progress.withLock { progress in
      progress.counts[group] += 1
      return progress.counts[group] == workers.count
    }
    guard isLast else { return }
    do {
      let values = gathered(group)
      if values.isEmpty { return }
      try exchange.begin(group: group, values)
      progress.withLock { $0.begun.append(group) }
    } catch {
      progress.withLock { $0.failure = $0.failure ?? error }
    }
  }

  private func gathered(_ group: Int) -> [Float] {
    let kernels = workers[0].kernels
    if group == groups.count {
      guard let initial, let sum = workers[0].initialGradient else { return [] }
      for worker in workers.dropFirst() { if let other = worker.initialGradient { initial.add(other, to: sum, kernels) } }
      return initial.regions.flatMap { $0.matrix(in: sum).array() }
    }
    for worker in workers.dropFirst() {
      for entry in groups[group] {
        kernels.add(parameters.matrix(entry, in: worker.gradient), to: parameters.matrix(entry, in: workers[0].gradient))
      }
    }
    return groups[group].flatMap { parameters.matrix($0, in: workers[0].gradient).array() }
  }

  /// Waits for all groups and puts their sums in the first worker's place.
  func finish() throws {
    let (begun, failure) = progress.withLock { ($0.begun, $0.failure) }
    if let failure { throw failure }
    for group in begun {
      let values = try exchange.finish(group: group)
      var place = 0
      func put(_ matrix: Matrix) {
        let count = matrix.rows * matrix.columns
        matrix.copy(from: Matrix(Array(values[place..<place + count]), rows: matrix.rows, columns: matrix.columns))
        place += count
      }
      if group == groups.count {
        guard let initial, let sum = workers[0].initialGradient else { continue }
        for region in initial.regions { put(region.matrix(in: sum)) }
      } else {
        for entry in groups[group] { put(parameters.matrix(entry, in: workers[0].gradient)) }
      }
    }
  }
}
