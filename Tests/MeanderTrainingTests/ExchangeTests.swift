import Glibc
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderTestSupport
import MeanderTraining
import Synchronization
import Testing

/// Ranks that are threads of this process: what a distributed run makes of a recipe, without MPI.
@Suite struct ExchangeTests {
  /// Where the ranks of a test meet: each call waits for all ranks, and adds in the order of the ranks.
  final class Meeting: Sendable {
    private struct State {
      var parts: [String: [Int: [Double]]] = [:]
      var bytes: [Int: [Int: [UInt8]]] = [:]
    }

    let ranks: Int
    private let state = Mutex(State())

    init(ranks: Int) { self.ranks = ranks }

    func put(_ key: String, rank: Int, _ values: [Double]) { state.withLock { $0.parts[key, default: [:]][rank] = values } }

    func sum(_ key: String) -> [Double] {
      while true {
        let parts = state.withLock { $0.parts[key] ?? [:] }
        if parts.count == ranks {
          return (1..<ranks).reduce(parts[0] ?? []) { sum, rank in zip(sum, parts[rank] ?? []).map { $0 + $1 } }
        }
        usleep(20)
      }
    }

    func gather(_ number: Int, rank: Int, _ bytes: [UInt8]) -> [[UInt8]] {
      state.withLock { $0.bytes[number, default: [:]][rank] = bytes }
      while true {
        let all = state.withLock { $0.bytes[number] ?? [:] }
        if all.count == ranks { return rank == 0 ? (0..<ranks).map { all[$0] ?? [] } : [] }
        usleep(20)
      }
    }
  }

  final class Exchange: GradientExchange {
    private struct State {
      var calls = 0
      var rounds: [Int: Int] = [:]
      var groups: [Int] = []
    }

    let rank: Int
    let meeting: Meeting
    var ranks: Int { meeting.ranks }
    private let state = Mutex(State())
    /// Called as a group is begun.
    let onBegin: Mutex<(@Sendable (Int) -> Void)?> = Mutex(nil)

    init(_ meeting: Meeting, rank: Int) { (self.meeting, self.rank) = (meeting, rank) }

    /// The groups in the order in which they were begun.
    var begun: [Int] { state.withLock(\.groups) }

    private func key(_ group: Int) -> String { "group \(group) \(state.withLock { $0.rounds[group] ?? 0 })" }

    func begin(group: Int, _ values: [Float]) {
      state.withLock { state in
        state.rounds[group, default: 0] += 1
        state.groups.append(group)
      }
      onBegin.withLock { $0 }?(group)
      meeting.put(key(group), rank: rank, values.map { Double($0) })
    }

    func finish(group: Int) -> [Float] { meeting.sum(key(group)).map { Float($0) } }

    private func next() -> Int {
      state.withLock { state in
        state.calls += 1
        return state.calls
      }
    }

    func sum(_ values: [Double]) -> [Double] {
      let key = "sum \(next())"
      meeting.put(key, rank: rank, values)
      return meeting.sum(key)
    }

    func gather(_ bytes: [UInt8]) -> [[UInt8]] { meeting.gather(next(), rank: rank, bytes) }
  }

  /// Runs a recipe on threads as ranks; the losses as rank 0 saw them.
  static func run(_ bench: TrainerTests.Bench, ranks: Int, resumes: Bool = false, until step: Int = .max) throws -> [Double] {
    let meeting = Meeting(ranks: ranks)
    let path = bench.recipe
    let results = Mutex<[Int: Result<[Double], any Error>]>([:])
    // Threads of their own: ranks wait for each other, which tasks of one pool must not.
    WorkerTeam(threads: ranks).run(ranks) { rank in
      let result = Result {
        let run = try TrainingRun(
          try Recipe(path: path), threads: 2, resumes: resumes, exchange: Exchange(meeting, rank: rank))
        var losses: [Double] = []
        _ = try run.run(shouldStop: { run.trainer.step >= step }, visit: { losses.append($0.loss) })
        return losses
      }
      results.withLock { $0[rank] = result }
    }
    let losses = try results.withLock { $0 }.mapValues { try $0.get() }
    // Every rank knows the loss of the whole batch.
    for rank in 1..<ranks { #expect(losses[rank] == losses[0]) }
    return losses[0] ?? []
  }

  @Test(arguments: TrainerTests.sources.indices)
  func ranksLearnWhatOneWould(source: Int) throws {
    let changes = [("batch", JSON(4)), ("accumulate", JSON(2)), ("state", JSON([("start", .string("pass"))]))]
    let one = try TrainerTests.Bench(changes, source: TrainerTests.sources[source])
    let two = try TrainerTests.Bench(changes, source: TrainerTests.sources[source])
    let expected = try one.run()
    let losses = try Self.run(two, ranks: 2)
    expectClose(losses, expected, "losses", within: 1e-5)
  }

  /// Rank 0's checkpoint holds the carried states of all ranks: one process can go on from it, and so can two.
  @Test(arguments: [1, 2]) func aCheckpointIsOfTheWholeRun(ranks: Int) throws {
    let changes = [("batch", JSON(4)), ("state", JSON([("start", .string("trained")), ("share", JSON(0.5))]))]
    let whole = try TrainerTests.Bench(changes)
    let expected = try whole.run()
    let parts = try TrainerTests.Bench(changes)
    var losses = try Self.run(parts, ranks: 2, until: 5)
    losses += ranks == 1 ? try parts.run(resumes: true) : try Self.run(parts, ranks: 2, resumes: true)
    expectClose(losses, expected, "losses", within: 1e-5)
  }

  /// A layer's gradients are sent off while the layers below it have none yet: shown by structure, not by timing.
  @Test func aLayerIsSentAsSoonAsItIsComplete() throws {
    let bench = try TrainerTests.Bench([("batch", JSON(1))])
    let exchange = Exchange(Meeting(ranks: 1), rank: 0)
    let trainer = try Trainer(try Recipe(path: bench.recipe), threads: 1, exchange: exchange)
    let reached = Mutex<[Int: Bool]>([:])
    let gradients = trainer.firstGradient
    exchange.onBegin.withLock { hook in
      hook = { group in reached.withLock { $0[group] = gradients("backbone.layers.0.mixer.out_proj.weight").contains { $0 != 0 } } }
    }
    _ = try trainer.advance()
    #expect(exchange.begun == [1, 0, 2])
    #expect(reached.withLock { $0 } == [1: false, 0: true, 2: true])
  }

  @Test func aBatchThatCannotBeSharedIsRefused() throws {
    let bench = try TrainerTests.Bench([("batch", JSON(3))])
    let exchange = Exchange(Meeting(ranks: 2), rank: 0)
    let error = #expect(throws: MeanderError.self) {
      try TrainingRun(try Recipe(path: bench.recipe), threads: 1, resumes: false, exchange: exchange)
    }
    #expect(error?.description.contains("batch") == true)
  }
}
