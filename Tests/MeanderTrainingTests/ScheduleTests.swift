import MeanderTraining
import Testing

@Suite struct ScheduleTests {
  @Test func warmUpRisesInAStraightLine() {
    let schedule = Schedule(.constant, warmUp: 4)
    #expect((0..<6).map { schedule.factor(step: $0, of: 100) } == [0.25, 0.5, 0.75, 1, 1, 1])
  }

  @Test func theCosineEndsAtItsFinalFactor() {
    let schedule = Schedule(.cosine, warmUp: 10, final: 0.1)
    #expect(schedule.factor(step: 10, of: 101) == 1)
    #expect(abs(schedule.factor(step: 55, of: 101) - 0.55) < 1e-12)
    #expect(abs(schedule.factor(step: 100, of: 101) - 0.1) < 1e-12)
  }

  @Test func theStableRateDecaysAtTheEndAlone() {
    let schedule = Schedule(.wsd, warmUp: 0, final: 0, decayShare: 0.2)
    #expect(schedule.factor(step: 80, of: 101) == 1)
    #expect(schedule.factor(step: 100, of: 101) == 0)
    #expect(schedule.factor(step: 90, of: 101) < 0.6)
  }
}
