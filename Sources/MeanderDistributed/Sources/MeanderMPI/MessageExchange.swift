import CMeanderMPI
import MeanderTraining
import Synchronization

/// The exchange of gradients over MPI: one MPI_Iallreduce for each layer, begun as soon as its gradients are complete.
final class MessageExchange: GradientExchange {
  let rank = Int(meander_mpi_rank())
  let ranks = Int(meander_mpi_ranks())
  /// How many numbers each group has that was begun.
  private let counts = Mutex<[Int: Int]>([:])

  func begin(group: Int, _ values: [Float]) throws {
    try check(meander_mpi_begin(Int32(group), values, values.count))
    counts.withLock { $0[group] = values.count }
  }

  func finish(group: Int) throws -> [Float] {
    var values = [Float](repeating: 0, count: counts.withLock { $0[group] ?? 0 })
    try check(meander_mpi_wait(Int32(group), &values, values.count))
    return values
  }

  func sum(_ values: [Double]) throws -> [Double] {
    var values = values
    try check(meander_mpi_sum(&values, values.count))
    return values
  }

  func gather(_ bytes: [UInt8]) throws -> [[UInt8]] {
    var counts = [Int64](repeating: 0, count: ranks)
    try check(meander_mpi_counts(Int64(bytes.count), &counts))
    var all = [UInt8](repeating: 0, count: rank == 0 ? Int(counts.reduce(0, +)) : 1)
    try check(meander_mpi_gather(bytes, counts, &all))
    guard rank == 0 else { return [] }
    var start = 0
    return counts.map { count in
      defer { start += Int(count) }
      return Array(all[start..<start + Int(count)])
    }
  }

  private func check(_ outcome: meander_mpi_outcome) throws {
    switch outcome {
    case MEANDER_MPI_DONE: return
    case MEANDER_MPI_LOST: throw ExchangeFailure.lost
    default: throw ExchangeFailure.refused(String(cString: meander_mpi_message()))
    }
  }
}

/// Why the ranks cannot go on together.
enum ExchangeFailure: Error, CustomStringConvertible {
  /// Another rank has ended.
  case lost
  /// MPI said no.
  case refused(String)

  var description: String {
    switch self {
    case .lost: "another rank of the run has ended"
    case .refused(let why): why
    }
  }
}
