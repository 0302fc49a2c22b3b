import Glibc
import MeanderTestSupport
import MeanderText
import Testing

private let halves = logits([0.5, 0.25, 0.125, 0.125])

@Suite struct TruncationTests {
  @Test func topKKeepsTheLikeliestAndBreaksTiesByLowerId() throws {
    expectDistribution(try distribution(options { $0.topK = 3 }, halves), [0: 4 / 7, 1: 2 / 7, 2: 1 / 7])
  }

  @Test(arguments: [(0.0, [0]), (0.45, [0]), (0.7, [0, 1]), (0.8, [0, 1, 2]), (0.99, [0, 1, 2, 3])])
  func topPKeepsTheFewestThatHoldIt(p: Double, kept: [Int32]) throws {
    #expect(try distribution(options { $0.topP = p }, halves).keys.sorted() == kept)
  }

  @Test(arguments: [(0.6, [0]), (0.3, [0, 1]), (0.2, [0, 1, 2, 3]), (1.0, [0])])
  func minPKeepsWhatIsNearTheLikeliest(p: Double, kept: [Int32]) throws {
    #expect(try distribution(options { $0.minP = p }, halves).keys.sorted() == kept)
  }

  /// Entropy 1.280 nats; surprises 0.916, 1.204, 1.609, 2.303, so the order of nearness is 1, 2, 0, 3.
  @Test(arguments: [(0.2, [1]), (0.4, [1, 2]), (0.6, [0, 1, 2]), (0.95, [0, 1, 2, 3])])
  func typicalKeepsWhatIsNearTheEntropy(p: Double, kept: [Int32]) throws {
    #expect(try distribution(options { $0.typical = p }, logits([0.4, 0.3, 0.2, 0.1])).keys.sorted() == kept)
  }

  @Test func temperatureComesAfterTheTruncations() throws {
    let cold = try distribution(
      options {
        $0.temperature = 0.5
        $0.topP = 0.7
      }, halves)
    expectDistribution(cold, [0: 0.8, 1: 0.2])
  }

  @Test func excludeTopChoicesLeavesTheLeastLikelyOfThem() throws {
    let always = options {
      $0.xtc.probability = 1
      $0.xtc.threshold = 0.2
    }
    expectDistribution(try distribution(always, halves), [1: 0.5, 2: 0.25, 3: 0.25])
    expectDistribution(
      try distribution(always, logits([0.3, 0.25, 0.22, 0.1, 0.13])), [2: 22 / 45, 4: 13 / 45, 3: 10 / 45])
    let single = options {
      $0.xtc.probability = 1
      $0.xtc.threshold = 0.3
    }
    #expect(try distribution(single, halves).count == 4)
  }

  @Test func excludeTopChoicesStrikesAsOftenAsAsked() throws {
    let sometimes = options {
      $0.xtc.probability = 0.3
      $0.xtc.threshold = 0.2
      $0.seed = 5
    }
    let drawn = try frequencies(sometimes, halves, draws: 20_000)
    #expect(abs(drawn[0] - 0.35) < 0.014)
  }

  @Test(arguments: [1, 63, 64, 65, 1000, 24_999, 25_001, 50_000])
  func partialOrderEqualsTheFullOne(k: Int) throws {
    var generator = SeededGenerator(seed: 3)
    // Rounded, so that thousands of logits are equal and ids decide.
    let values = generator.normal(50_000).map { ($0 * 100).rounded() / 100 }
    let order = values.indices.sorted { (values[$1], $0) < (values[$0], $1) }
    let kept = try distribution(options { $0.topK = k }, values).keys
    #expect(kept.sorted() == order.prefix(k).map { Int32($0) }.sorted())
  }

  @Test func topPOverAWholeVocabularyEqualsTheDefinition() throws {
    var generator = SeededGenerator(seed: 4)
    let values = generator.normal(20_000, scale: 2)
    let weights = values.map { exp(Double($0)) }
    let total = weights.reduce(0, +)
    var held = 0.0
    var expected: [Int32] = []
    for i in values.indices.sorted(by: { values[$0] > values[$1] }) where held < 0.9 * total {
      held += weights[i]
      expected.append(Int32(i))
    }
    #expect(try distribution(options { $0.topP = 0.9 }, values).keys.sorted() == expected.sorted())
  }
}

@Suite struct MirostatTests {
  private func bound(_ sampler: Sampler) -> Double? {
    String(decoding: sampler.serialized(), as: UTF8.self).split(separator: "\n")
      .first { $0.hasPrefix("surprise-bound ") }.flatMap { Double($0.dropFirst(15)) }
  }

  @Test func secondVersionCutsAtTheBoundAndMovesIt() throws {
    let target = options {
      $0.mirostat.version = 2
      $0.mirostat.tau = 1.1
    }
    expectDistribution(try distribution(target, halves), [0: 2 / 3, 1: 1 / 3])
    var sampler = try Sampler(target)
    let surprise = try sampler.sample(halves).id == 0 ? log2(1.5) : log2(3)
    #expect(abs((bound(sampler) ?? .nan) - (2.2 - 0.1 * (surprise - 1.1))) < 1e-6)
  }

  /// Zipf's law with s = 1.5 over 1000 tokens and a bound of 4 bits: k = (0.5 · 16 / (1 - 1000^-0.5))^(2/3) =
  /// 4.09.
  @Test func firstVersionFitsZipfsLaw() throws {
    let zipf = (1...1000).map { Float(-1.5 * log(Double($0))) }
    let target = options {
      $0.mirostat.version = 1
      $0.mirostat.tau = 2
    }
    #expect(try distribution(target, zipf).keys.sorted() == [0, 1, 2, 3])
  }

  @Test(arguments: [1, 2])
  func truncationsAreReplaced(version: Int) throws {
    let flat = [Float](repeating: 0, count: 64)
    let target = options {
      $0.mirostat.version = version
      $0.topK = 2
      $0.minP = 1
      $0.topP = 0.01
    }
    #expect(try distribution(target, flat).count == 64)
  }

  /// The mean surprise of what is drawn, reckoned from the tokens that were left to draw from. A bound that
  /// stays where it starts would give 0.9 and 5.4 bits here.
  @Test(arguments: [1, 2], [2.0, 5.0])
  func surpriseSettlesAtTheTarget(version: Int, tau: Double) throws {
    let target = options {
      $0.mirostat.version = version
      $0.mirostat.tau = tau
    }
    var sampler = try Sampler(target)
    let zipf = (1...1000).map { Float(-1.1 * log(Double($0))) }
    var surprises: [Double] = []
    for _ in 0..<1500 {
      let left = try distribution(of: sampler, zipf)
      let id = try sampler.sample(zipf).id
      surprises.append(-log2(try #require(left[id])))
    }
    let settled = surprises.suffix(1000)
    #expect(abs(settled.reduce(0, +) / 1000 - tau) < 0.1)
  }
}
