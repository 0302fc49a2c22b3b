import MeanderKernels
import Synchronization
import Testing

@Suite struct WorkerTeamTests {
  @Test(arguments: [1, 2, 5], [0, 1, 2, 3, 4, 17, 1000])
  func `every index runs once`(threads: Int, count: Int) {
    let team = WorkerTeam(threads: threads)
    let runs = Matrix(rows: 1, columns: max(count, 1))
    for _ in 0..<50 { team.run(count) { runs[0, $0] += 1 } }
    #expect(runs.columns(0..<count).array() == [Float](repeating: 50, count: count))
  }

  @Test func `workers that fell asleep wake up`() {
    let team = WorkerTeam(threads: 3)
    let sum = Atomic<Int>(0)
    for _ in 0..<5 {
      team.run(3) { sum.wrappingAdd($0, ordering: .relaxed) }
      let clock = ContinuousClock()
      let start = clock.now
      while start.duration(to: clock.now) < .milliseconds(5) {}
    }
    #expect(sum.load(ordering: .relaxed) == 15)
  }

  @Test func `teams end with their threads, also when they never worked`() {
    for threads in 1...40 { _ = WorkerTeam(threads: threads % 5 + 1) }
  }
}
