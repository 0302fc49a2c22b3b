import Glibc
import MeanderErrors
import MeanderTestSupport
import MeanderText
import Testing

/// Everything that remembers something, switched on.
private let everything = options {
  $0.temperature = 0.9
  $0.topK = 30
  $0.topP = 0.97
  $0.minP = 0.001
  $0.typical = 0.99
  $0.repeatPenalty = 1.1
  $0.presencePenalty = 0.1
  $0.frequencyPenalty = 0.05
  $0.dry.multiplier = 0.8
  $0.dry.breakers = [[3], [4, 5]]
  $0.xtc.probability = 0.2
  $0.logitBias = [2: -0.1, 7: 0.3, 1: -.infinity]
  $0.seed = .max
}

@Suite struct SamplerTests {
  @Test func greedyTakesTheLowestIdOfEquals() throws {
    var sampler = try Sampler(SamplingOptions())
    #expect(try sampler.sample([1, 3, 3, -1]).id == 1)
    #expect(try sampler.sample([-0.0, 0.0]).id == 0)
    #expect(try sampler.sample([-4]).id == 0)
  }

  @Test func logProbabilitiesAreTheModels() throws {
    var generator = SeededGenerator(seed: 8)
    let values = generator.normal(5000, scale: 4)
    let largest = Double(values.max() ?? 0)
    let logTotal = log(values.reduce(0.0) { $0 + exp(Double($1) - largest) }) + largest
    let hot = options {
      $0.temperature = 3
      $0.topK = 50
      $0.logitBias = [3: 20]
    }
    var sampler = try Sampler(hot)
    let drawn = try sampler.sample(values, topCount: 5)
    #expect(drawn.id == 3)
    #expect(abs(drawn.logProbability - (Double(values[3]) - logTotal)) < 1e-12)
    let order = values.indices.sorted { values[$0] > values[$1] }
    #expect(drawn.top.map(\.id) == order.prefix(5).map { Int32($0) })
    for choice in drawn.top {
      #expect(abs(choice.logProbability - (Double(values[Int(choice.id)]) - logTotal)) < 1e-12)
    }
  }

  @Test func drawsFollowTheProbabilities() throws {
    let probabilities = [0.4, 0.3, 0.15, 0.1, 0.05]
    let draws = 50_000
    let drawn = try frequencies(options { $0.seed = 11 }, logits(probabilities), draws: draws)
    for (frequency, probability) in zip(drawn, probabilities) {
      let deviation = (probability * (1 - probability) / Double(draws)).squareRoot()
      #expect(abs(frequency - probability) < 4 * deviation)
    }
  }

  @Test func temperatureSharpensTheDraws() throws {
    let drawn = try frequencies(options { $0.temperature = 0.5 }, logits([0.75, 0.25]), draws: 20_000)
    #expect(abs(drawn[0] - 0.9) < 0.009)
  }

  @Test func aSavedSamplerContinuesAlike() throws {
    for version in 0...2 {
      var settings = everything
      settings.mirostat.version = version
      var sampler = try Sampler(settings)
      var logitGenerator = SeededGenerator(seed: 21)
      for _ in 0..<150 { sampler.accept(try sampler.sample(logitGenerator.normal(40, scale: 2)).id) }
      var restored = try Sampler(serialized: sampler.serialized())
      #expect(restored.options == settings)
      #expect(restored.serialized() == sampler.serialized())
      for _ in 0..<150 {
        let values = logitGenerator.normal(40, scale: 2)
        let drawn = try sampler.sample(values)
        #expect(try restored.sample(values) == drawn)
        sampler.accept(drawn.id)
        restored.accept(drawn.id)
      }
    }
  }

  @Test func damagedBytesAreRefused() throws {
    var sampler = try Sampler(everything)
    sampler.accept(4)
    let good = sampler.serialized()
    var generator = SeededGenerator(seed: 2)
    for _ in 0..<2000 {
      var bytes = good
      for _ in 0..<Int.random(in: 1...3, using: &generator) {
        bytes[Int.random(in: 0..<bytes.count, using: &generator)] = UInt8.random(in: 0...255, using: &generator)
      }
      if Bool.random(using: &generator) { bytes.removeLast(Int.random(in: 0..<bytes.count, using: &generator)) }
      do {
        var read = try Sampler(serialized: bytes)
        _ = try read.sample([Float](repeating: 0, count: 64))
      } catch let error as MeanderError {
        #expect([.badData, .badRequest].contains(error.code))
      }
    }
    #expect(throws: MeanderError.self) { try Sampler(serialized: []) }
  }

  @Test(arguments: [Float.nan, .infinity, -.infinity])
  func logitsThatAreNotFiniteAreNamed(value: Float) throws {
    var sampler = try Sampler(SamplingOptions())
    let error = #expect(throws: MeanderError.self) { try sampler.sample([0, 1, value, 2]) }
    #expect(error?.code == .nonFinite && error?.what.contains("token 2") == true)
    #expect(throws: MeanderError.self) { try sampler.sample([]) }
  }

  @Test(arguments: [0.0, 1.0])
  func forbiddingEverythingIsAnError(temperature: Double) throws {
    var sampler = try Sampler(
      options {
        $0.temperature = temperature
        $0.logitBias = [0: -.infinity, 1: -.infinity]
      })
    #expect(throws: MeanderError.self) { try sampler.sample([1, 2]) }
  }

  @Test func extremeLogitsAreDrawnFrom() throws {
    let largest = Float.greatestFiniteMagnitude
    for temperature in [1e-300, 1, 100] {
      var sampler = try Sampler(everything)
      var plain = try Sampler(options { $0.temperature = temperature })
      for _ in 0..<20 { sampler.accept(0) }
      let drawn = try sampler.sample([largest, -largest, -largest, 0, 0, 0, 0, largest])
      #expect(drawn.logProbability.isFinite)
      #expect(try plain.sample([largest, -largest, 0]).id == 0)
    }
  }
}

@Suite struct SamplingOptionsTests {
  @Test func fieldsAreExact() throws {
    #expect(try SamplingOptions(fields: everything.fields) == everything)
    #expect(try SamplingOptions(fields: [:]) == SamplingOptions())
    #expect(try SamplingOptions(fields: ["top-k": "7", "temperature": "0.1"]).topK == 7)
  }

  @Test(arguments: [
    ("temperature", "-0.1"), ("temperature", "nan"), ("temperature", "warm"), ("top-k", "-1"), ("top-k", "1.5"),
    ("top-p", "1.01"), ("min-p", "-1"), ("typical", "2"), ("repeat-penalty", "0"), ("repeat-last-count", "65537"),
    ("presence-penalty", "inf"), ("frequency-penalty", "101"), ("dry-base", "0.9"), ("dry-allowed-length", "0"),
    ("dry-breakers", "1,,x"), ("dry-breakers", "-4"), ("xtc-threshold", "1.1"), ("mirostat", "3"),
    ("mirostat-eta", "2"),
    ("logit-bias", "5:nan"), ("logit-bias", "5:inf"), ("logit-bias", "-5:1"), ("logit-bias", "5"), ("seed", "-1"),
    ("top_k", "1"),
  ])
  func aRefusalNamesTheOption(name: String, value: String) {
    let error = #expect(throws: MeanderError.self) { try SamplingOptions(fields: [name: value]) }
    #expect(error?.code == .badRequest && error?.place == "sampling option \(name)" && error?.remedy != nil)
  }
}

@Suite struct GeneratorTests {
  /// The first outputs of the authors' C program from the state 1, 2, 3, 4.
  @Test func outputsAreTheAuthors() throws {
    var generator = try #require(Xoshiro(words: [1, 2, 3, 4]))
    #expect(
      (0..<4).map { _ in generator.next() } == [41_943_041, 58_720_359, 3_588_806_011_781_223, 3_591_011_842_654_386])
    #expect(Xoshiro(words: [0, 0, 0, 0]) == nil)
  }

  /// The tokens that this seed gives on every machine.
  @Test func aSeedNamesItsTokens() throws {
    var sampler = try Sampler(everything)
    var logitGenerator = SeededGenerator(seed: 1)
    let drawn = try (0..<16).map { _ in
      let values = logitGenerator.uniform(1000, in: -3...3)
      let id = try sampler.sample(values).id
      sampler.accept(id)
      return id
    }
    #expect(drawn == [106, 643, 252, 218, 627, 366, 23, 778, 304, 708, 532, 219, 6, 842, 310, 446])
  }
}
