import MeanderErrors
import MeanderTasks
import MeanderTestSupport
import Testing

/// Lines and their surprise, from tokens that end anywhere.
@Suite struct LineScorerTests {
  private typealias Decided = LineScorer.Decided

  @Test func aTokenBelongsToTheLineOfItsFirstByte() {
    var scorer = LineScorer()
    scorer.read(Array("ab\ncd\ne".utf8))
    var lines: [ScoredLine] = []
    // "ab", "\nc" begins in the first line, "d\ne" in the second.
    let tokens: [Decided] = [(2, 1, nil), (4, 2, "full"), (7, 4, nil)]
    scorer.decide(tokens) { lines.append($0) }
    #expect(lines.map(\.text) == [Array("ab".utf8), Array("cd".utf8)])
    #expect(lines.map(\.bits) == [3, 4])
    #expect(lines.map(\.alarm) == ["full", nil])
    #expect(lines.map(\.byteCount) == [3, 3])
    #expect(scorer.finish()?.text == Array("e".utf8))
    #expect(scorer.finish() == nil)
  }

  @Test func anyCutGivesTheSameLines() {
    var generator = SeededGenerator(seed: 3)
    let bytes = (0..<4000).map { _ in UInt8.random(in: 8...14, using: &generator) }
    var tokens: [Decided] = []
    var end = 0
    while end < bytes.count {
      end = min(bytes.count, end + Int.random(in: 0...5, using: &generator))
      tokens.append((Int64(end), Double.random(in: 0..<20, using: &generator), nil))
    }
    func lines(_ cut: () -> Int) -> [ScoredLine] {
      var scorer = LineScorer()
      var lines: [ScoredLine] = []
      var read = 0
      var decided = 0
      while read < bytes.count || decided < tokens.count {
        let next = min(bytes.count, read + cut())
        scorer.read(bytes[read..<next])
        read = next
        let ready = tokens[decided...].prefix { $0.end <= read }
        scorer.decide(ready) { lines.append($0) }
        decided += ready.count
      }
      if let last = scorer.finish() { lines.append(last) }
      return lines
    }
    let whole = lines { 4000 }
    #expect(whole.count > 100)
    #expect(whole.contains { $0.score != 0 })
    #expect(lines { 1 } == whole)
    #expect(lines { Int.random(in: 1...99, using: &generator) } == whole)
  }

  @Test func theScoreIsInSpreadsAboveTheMedian() {
    var generator = SeededGenerator(seed: 4)
    let values = generator.normal(20_001).map { 4 + 0.5 * Double($0) }
    var histogram = LineHistogram()
    for value in values { histogram.add(value) }
    let (median, spread) = histogram.medianAndSpread
    #expect(abs(median - 4) < 0.03)
    #expect(abs(spread - 0.5) < 0.03)
    let sorted = values.sorted()
    #expect(abs(histogram.quantiles([0.9])[0] - sorted[18_000]) < 0.03)
  }

  /// Records come from files: whatever stands in one, it is refused or read, and nothing traps.
  @Test func aDamagedRecordIsRefusedOrRead() throws {
    var scorer = LineScorer(offset: 12)
    scorer.read(Array("one\ntwo and mo".utf8))
    let before: [Decided] = [(16, 30, nil), (20, 4, "full")]
    let after: [Decided] = [(25, 3, nil), (37, 4, nil)]
    scorer.decide(before) { _ in }
    var generator = SeededGenerator(seed: 8)
    let good = scorer.recorded()
    #expect(try LineScorer(recorded: good) == scorer)
    var refused = 0
    for _ in 0..<3000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if Bool.random(using: &generator) { bytes.removeLast(Int.random(in: 0...bytes.count, using: &generator)) }
      do {
        var damaged = try LineScorer(recorded: bytes)
        damaged.read(Array("re\nthe end\n".utf8))
        damaged.decide(after) { _ in }
      } catch is MeanderError {
        refused += 1
      }
    }
    #expect(refused > 500)
  }

  @Test func theHistogramTakesAnyValue() {
    var histogram = LineHistogram()
    for value in [0, -1, .infinity, 1e300, 1e-300, .nan] { histogram.add(value) }
    #expect(histogram.total == 6)
    #expect(histogram.medianAndSpread.median.isFinite)
  }
}
