import MeanderErrors
import MeanderTestSupport
import MeanderText
import Testing

/// The logits that a sampler with this history would draw from.
private func adjusted(_ options: SamplingOptions, _ history: [Int32], _ logits: [Float]) throws -> [Float] {
  var sampler = try Sampler(options)
  for id in history { sampler.accept(id) }
  return try sampler.adjusted(logits)
}

@Suite struct PenaltyTests {
  @Test func repetitionDividesPositiveAndMultipliesNegativeLogits() throws {
    let penalty = options { $0.repeatPenalty = 2 }
    #expect(try adjusted(penalty, [0, 1, 1], [3, -3, 1, 0]) == [1.5, -6, 1, 0])
  }

  @Test func frequencyCountsAndPresenceDoesNot() throws {
    let penalty = options {
      $0.frequencyPenalty = 0.5
      $0.presencePenalty = 0.25
    }
    #expect(try adjusted(penalty, [0, 1, 1], [1, 1, 1]) == [0.25, -0.25, 1])
  }

  @Test func onlyTheLatestTokensCount() throws {
    let penalty = options {
      $0.presencePenalty = 1
      $0.repeatLastCount = 2
    }
    #expect(try adjusted(penalty, [0, 1, 2, 3, 1], [0, 0, 0, 0]) == [0, -1, 0, -1])
  }

  @Test func biasAddsAndForbids() throws {
    let bias = options { $0.logitBias = [0: -.infinity, 2: 1.5] }
    expectDistribution(try distribution(bias, [5, 1.5, 0]), [1: 0.5, 2: 0.5])
    var greedy = bias
    greedy.temperature = 0
    var sampler = try Sampler(greedy)
    #expect(try sampler.sample([5, 1, 0]).id == 2)
  }

  @Test func forbiddenTokensStayForbiddenUnderPenalties() throws {
    let both = options {
      $0.logitBias = [0: -.infinity]
      $0.repeatPenalty = 1.5
      $0.dry.multiplier = 1
      $0.dry.allowedLength = 1
    }
    #expect(try adjusted(both, [1, 0, 1], [1, 1])[0] == -.infinity)
  }

  @Test func biasForAnAbsentTokenNamesIt() throws {
    var sampler = try Sampler(options { $0.logitBias = [9: 1] })
    let error = #expect(throws: MeanderError.self) { try sampler.sample([0, 0]) }
    #expect(error?.code == .badRequest && error?.description.contains("token 9") == true)
  }
}

@Suite struct DryTests {
  private func dry(_ change: (inout SamplingOptions.Dry) -> Void = { _ in }) -> SamplingOptions {
    options {
      $0.dry.multiplier = 1
      $0.dry.base = 2
      change(&$0.dry)
    }
  }

  /// After a b c c b c y a b c: c would continue 3 tokens, y 2, b 1.
  @Test func penaltyGrowsWithTheRepetition() throws {
    let history: [Int32] = [0, 1, 2, 2, 1, 2, 3, 0, 1, 2]
    #expect(try adjusted(dry(), history, [0, 0, 0, 0]) == [0, 0, -2, -1])
    #expect(try adjusted(dry { $0.allowedLength = 1 }, history, [0, 0, 0, 0]) == [0, -1, -4, -2])
    #expect(try adjusted(dry { $0.allowedLength = 4 }, history, [0, 0, 0, 0]) == [0, 0, 0, 0])
    #expect(try adjusted(dry { $0.lastCount = 5 }, history, [0, 0, 0, 0]) == [0, 0, 0, 0])
  }

  @Test func breakersEndRepetitions() throws {
    let history: [Int32] = [0, 1, 2, 2, 1, 2, 3, 0, 1, 2]
    // After the breaker 0 stand two tokens, so no repetition is longer than 2.
    #expect(try adjusted(dry { $0.breakers = [[0]] }, history, [0, 0, 0, 0]) == [0, 0, -1, -1])
    #expect(try adjusted(dry { $0.breakers = [[0, 1]] }, history, [0, 0, 0, 0]) == [0, 0, 0, 0])
    #expect(try adjusted(dry { $0.breakers = [[1, 1]] }, history, [0, 0, 0, 0]) == [0, 0, -2, -1])
    // A token that is a breaker is not penalized itself.
    #expect(try adjusted(dry { $0.breakers = [[3]] }, history, [0, 0, 0, 0]) == [0, 0, -2, 0])
  }

  @Test(arguments: 0..<20)
  func repetitionsEqualTheDefinition(seed: UInt64) throws {
    var generator = SeededGenerator(seed: seed)
    let history = (0..<60).map { _ in Int32.random(in: 0..<3, using: &generator) }
    var expected: [Float] = [0, 0, 0]
    for end in 0..<(history.count - 1) {
      var length = 0
      while length <= end, history[end - length] == history[history.count - 1 - length] { length += 1 }
      guard length >= 2 else { continue }
      let next = Int(history[end + 1])
      expected[next] = min(expected[next], -Float(sign: .plus, exponent: length - 2, significand: 1))
    }
    #expect(try adjusted(dry(), history, [0, 0, 0]) == expected)
  }

  @Test func longRepetitionsStayFinite() throws {
    let history = [Int32](repeating: 1, count: 5000)
    let logits = try adjusted(dry { $0.base = 100 }, history, [0, 0])
    #expect(logits[0] == 0 && logits[1].isFinite && logits[1] < -1e30)
  }

  @Test func breakersComeFromTheVocabulary() {
    let vocabulary = ["a", "\n", "x\n", "--", "-", "->", ">"].map { Array($0.utf8) }
    let found = SamplingOptions.Dry.breakers(for: ["\n", "->"], vocabulary: vocabulary) { text in
      text.utf8.map { $0 == UInt8(ascii: ">") ? 6 : 0 }
    }
    #expect(found == [[1], [2], [3, 6], [4, 6], [5]])
  }
}
