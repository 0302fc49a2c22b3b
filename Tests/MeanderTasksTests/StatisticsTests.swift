import MeanderTasks
import Testing

@Suite struct StatisticsTests {
  @Test func theClusteredVarianceIsTheOneByHand() throws {
    // r = 12/20; residuals 4 - 3, 5 - 3, 1 - 3, 2 - 3: squares 1 + 4 + 4 + 1 = 10; 4/3 · 10 / 400 = 1/30.
    let proportion = ClusteredProportion([4, 5, 1, 2].map { Proportion(hits: $0, of: 5) })
    #expect(proportion.rate == 0.6)
    #expect(abs(try #require(proportion.variance) - 1.0 / 30) < 1e-15)
    // Independent samples would have 0.24 / 20 = 0.012, so 20 tell as much as 0.24 · 30 = 7.2.
    #expect(abs(proportion.effectiveSamples - 7.2) < 1e-12)
    let clustered = proportion.interval()
    let simple = Proportion(hits: 12, of: 20).interval()
    #expect(clustered.lowerBound < simple.lowerBound && clustered.upperBound > simple.upperBound)
    // Wilson with n = 7.2, r = 0.6, z² = 3.8414588: (0.6 + 0.266768 ± 0.446335) / 1.533536.
    #expect(abs(clustered.lowerBound - 0.27416) < 1e-4)
    #expect(abs(clustered.upperBound - 0.85626) < 1e-4)
  }

  @Test func clustersOfOneAreWilsons() {
    let samples = (0..<40).map { (document: $0, isHit: $0 % 4 != 0) }
    let proportion = ClusteredProportion(samples)
    // n/(n-1) is all that is left of the difference.
    #expect(abs(proportion.effectiveSamples - 39) < 1e-9)
    let all = ClusteredProportion((0..<40).map { (document: $0, isHit: true) })
    #expect(all.interval() == Proportion(hits: 40, of: 40).interval())
  }

  @Test func allHitsFromFewDocumentsProveLittle() {
    let samples = (0..<200).map { (document: $0 % 10, isHit: true) }
    let interval = ClusteredProportion(samples).interval()
    #expect(interval == Proportion(hits: 10, of: 10).interval())
    #expect(ClusteredProportion([Proportion(hits: 3, of: 5)]).variance == nil)
  }

  @Test func theBootstrapIsRepeatableAndNearTheSandwich() {
    let clusters = (0..<30).map { Proportion(hits: [9, 10, 4, 7, 10][$0 % 5], of: 10) }
    let proportion = ClusteredProportion(clusters)
    let interval = proportion.bootstrap()
    #expect(interval == proportion.bootstrap())
    #expect(interval != proportion.bootstrap(seed: 2))
    let sandwich = proportion.interval()
    #expect(abs(interval.lowerBound - sandwich.lowerBound) < 0.03)
    #expect(abs(interval.upperBound - sandwich.upperBound) < 0.03)
  }

  @Test func theAreaCountsPairs() {
    // Of nine pairs, 3 > 1, 2, 2; 2 > 1 and ties twice; 1 ties once: (3 + 1 + 1 + 0.5) / 9.
    #expect(areaUnderCurve(positives: [3, 2, 1], negatives: [1, 2, 2]) == 5.5 / 9)
    #expect(areaUnderCurve(positives: [5, 6], negatives: [1, 2, 3]) == 1)
    #expect(areaUnderCurve(positives: [1, 1], negatives: [1, 1, 1]) == 0.5)
    #expect(areaUnderCurve(positives: [], negatives: [1]) == nil)
  }

  @Test func aRunningMeanIsRightFromTheFirstValue() throws {
    var mean = RunningMean(span: 4)
    #expect(mean.value == nil)
    mean.add(1)
    #expect(mean.value == 1)
    mean.add(0)
    // (3/4 · 1/4 · 1) / (3/4 · 1/4 + 1/4)
    #expect(abs(try #require(mean.value) - 3.0 / 7) < 1e-15)
  }

  @Test func theRunningMedianIsTheMedianOfItsWindow() {
    #expect(runningMedian([5, 1, 9, 2, 8], span: 3) == [3, 5, 2, 8, 5])
    #expect(runningMedian([4, 4, 1], span: 1) == [4, 4, 1])
    #expect(runningMedian([1, 2, 3], span: 99) == [2, 2, 2])
    #expect(runningMedian([], span: 5) == [])
    var generator = TaskGenerator(seed: 1)
    let values = (0..<300).map { _ in generator.uniform() }
    let expected = values.indices.map { place in
      let window = values[max(0, place - 10)...min(299, place + 10)].sorted()
      return (window[(window.count - 1) / 2] + window[window.count / 2]) / 2
    }
    #expect(runningMedian(values, span: 21) == expected)
  }

  @Test func drawsAreUniform() {
    var generator = TaskGenerator(seed: 1)
    var counts = [Int](repeating: 0, count: 10)
    for _ in 0..<10_000 { counts[generator.below(10)] += 1 }
    #expect(counts.allSatisfy { (880...1120).contains($0) })
    #expect(Set(generator.draw(10, of: Array(0..<10))) == Set(0..<10))
    for parts in 1...9 {
      let split = generator.split(100, into: parts)
      #expect(split.count == parts && split.reduce(0, +) == 100 && split.allSatisfy { $0 >= 0 })
    }
  }

  @Test func answersAreScored() {
    #expect(Scoring.begins(" 48213. Remember", with: " 48213"))
    #expect(!Scoring.begins("is 48213", with: "48213"))
    #expect(Scoring.contains("is 48213", " 48213"))
    #expect(Scoring.share("I think 12, then 56", " 12, 34, 56, 78") == 0.5)
  }
}
