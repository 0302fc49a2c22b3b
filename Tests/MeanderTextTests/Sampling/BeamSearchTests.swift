import Glibc
import MeanderErrors
import MeanderText
import Testing

@Suite struct BeamSearchTests {
  private static let end: Int32 = 0
  private static let vocabulary = 5

  /// The logits after a beginning: some numbers that follow from it alone.
  private static func logits(_ beginning: [Int32]) -> [Float] {
    var seed: UInt64 = 17
    for id in beginning { seed = (seed ^ UInt64(id + 1)) &* 0x100_0000_01B3 }
    return (0..<vocabulary).map { place in
      let mixed = (seed &+ UInt64(place) &* 0x9E37_79B9_7F4A_7C15) &* 0xBF58_476D_1CE4_E5B9
      return Float(mixed >> 40) / Float(1 << 24) * 4
    }
  }

  private static func search(_ beam: SamplingOptions.Beam, limit: Int) throws -> (ids: [Int32], score: Double) {
    var search = BeamSearch(beam, limit: limit)
    while true {
      let rows = search.live.map { logits($0.tokens.map(\.id)) }
      var going: [BeamSearch.Hypothesis] = []
      for branch in try search.branches(rows, adjusted: rows, endTokens: [end]) {
        let next = search.hypothesis(branch)
        if branch.isEnd { _ = search.end(next) } else { going.append(next) }
      }
      if search.go(on: going) { break }
      if search.isFull {
        for hypothesis in search.live { _ = search.end(hypothesis) }
        break
      }
    }
    let best = try #require(search.best)
    return (best.hypothesis.tokens.map(\.id), best.score)
  }

  /// Every text of at most `limit` tokens, scored by GNMT's formula written anew.
  private static func best(_ alpha: Double, limit: Int) -> (ids: [Int32], score: Double) {
    var best: (ids: [Int32], score: Double) = ([], -.infinity)
    func visit(_ ids: [Int32], _ sum: Double) {
      let row = logits(ids)
      let total = log(row.reduce(0.0) { $0 + exp(Double($1)) })
      func take(_ ids: [Int32], _ sum: Double) {
        let score = sum / (pow(5 + Double(ids.count), alpha) / pow(6, alpha))
        if score > best.score { best = (ids, score) }
      }
      take(ids, sum + Double(row[Int(end)]) - total)
      for id in 1..<Int32(vocabulary) {
        let next = sum + Double(row[Int(id)]) - total
        if ids.count + 1 == limit { take(ids + [id], next) } else { visit(ids + [id], next) }
      }
    }
    visit([], 0)
    return best
  }

  /// A beam as wide as there are beginnings is a search of everything.
  @Test(arguments: [0, 0.6, 1, 3.0])
  func aWideBeamFindsTheBestText(alpha: Double) throws {
    var beam = SamplingOptions.Beam()
    (beam.width, beam.lengthPenalty) = (64, alpha)
    let (found, expected) = (try Self.search(beam, limit: 4), Self.best(alpha, limit: 4))
    #expect(found.ids == expected.ids && abs(found.score - expected.score) < 1e-9, "\(found) and \(expected)")
  }

  /// A length penalty makes the longer of two texts worth taking.
  @Test func lengthIsNormalized() throws {
    let lengths = [0.0, 10].map { Self.best($0, limit: 4).ids.count }
    #expect(lengths[0] < lengths[1])
  }

  @Test func coverageTakesFromWhatIsLeftOut() {
    var beam = SamplingOptions.Beam()
    (beam.width, beam.lengthPenalty, beam.coveragePenalty) = (2, 0, 0.5)
    let search = BeamSearch(beam, limit: 3)
    var text = BeamSearch.Hypothesis()
    text.logProbability = -2
    text.coverage = [1.5, 0.25, 1]
    #expect(abs(search.score(text) - (-2 + 0.5 * log(0.25))) < 1e-12)
  }

  @Test func aBeamAndATemperatureExcludeEachOther() {
    var options = SamplingOptions()
    options.beam.width = 4
    #expect(throws: Never.self) { try options.validate() }
    options.temperature = 0.5
    #expect(throws: MeanderError.self) { try options.validate() }
    options.temperature = 0
    options.beam.width = 65
    #expect(throws: MeanderError.self) { try options.validate() }
  }
}
