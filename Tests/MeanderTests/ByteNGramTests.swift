import Meander
import MeanderTestSupport
import Testing

/// The n-gram that learns as it reads, and its mixture with a model.
@Suite struct ByteNGramTests {
  private func log(_ lines: Int, seed: UInt64 = 1) -> [UInt8] {
    var generator = SeededGenerator(seed: seed)
    return (0..<lines).flatMap { _ in
      Array(
        "status installed libc\(Int.random(in: 1...9, using: &generator)):amd64 2.\(Int.random(in: 10...99, using: &generator))\n"
          .utf8)
    }
  }

  @Test func aPredictionIsADistribution() {
    var ngram = ByteNGram()
    for byte in log(20) { _ = ngram.read(byte) }
    var sum = 0.0
    for byte in 0...UInt8.max {
      var copy = ngram
      sum += exponential(-copy.read(byte))
    }
    #expect(abs(sum - 1) < 1e-9)
  }

  private func exponential(_ bits: Double) -> Double {
    var value = 1.0
    // 2^bits by halves and a series: no library between the test and what it checks.
    let whole = bits.rounded(.down)
    var term = 1.0
    for n in 1...30 {
      term *= (bits - whole) * 0.6931471805599453 / Double(n)
      value += term
    }
    return Double(sign: .plus, exponent: Int(whole), significand: value)
  }

  @Test func whatRepeatsIsLearnedAndWhatIsForeignIsNot() {
    var ngram = ByteNGram()
    func bitsPerByte(_ bytes: [UInt8]) -> Double { bytes.reduce(0) { $0 + ngram.read($1) } / Double(bytes.count) }
    let first = bitsPerByte(log(10))
    let later = bitsPerByte(log(300, seed: 2))
    #expect(later < 0.5 * first)
    #expect(bitsPerByte(Array("kernel: BUG: unable to handle page fault\n".utf8)) > 5 * later)
  }

  @Test func itsStateIsAValueAndComesBackFromBytes() throws {
    var ngram = ByteNGram()
    for byte in log(50) { _ = ngram.read(byte) }
    var back = try #require(ByteNGram(ngram.bytes))
    #expect(back == ngram)
    for byte in log(5, seed: 9) { #expect(back.read(byte) == ngram.read(byte)) }
    #expect(ByteNGram(Array(ngram.bytes.dropLast())) == nil && ByteNGram([]) == nil)
    var damaged = ngram.bytes
    damaged[8 + 7] = 0x7F
    damaged[8 + 6] = 0xFF
    #expect(ByteNGram(damaged) == nil, "a weight that is no number")
  }

  /// Bits of a fixed text, to the last one: they must not depend on the machine.
  @Test func itsFiguresAreTheSameEverywhere() {
    var ngram = ByteNGram()
    let bits = log(40, seed: 7).map { ngram.read($0) }
    #expect(bits.reduce(0, +) == Self.recorded, "\(bits.reduce(0, +))")
  }

  private static let recorded = 1060.6399425841519

  @Test func aMixtureComesToTheBetterOfTheTwo() {
    var mixed = MixedPrediction()
    var ngram = ByteNGram()
    let text = log(200)
    var sums = (mixed: 0.0, ngram: 0.0)
    // A model that knows nothing: 8 bits a byte.
    for byte in text {
      sums.mixed += mixed.read([byte], model: 8)
      sums.ngram += ngram.read(byte)
    }
    #expect(sums.mixed < sums.ngram + 40)
    // And one that knows everything.
    var wise = MixedPrediction()
    #expect(text.reduce(0.0) { $0 + wise.read([$1], model: 0.01) } < 0.05 * Double(text.count))
    #expect(wise.weight > 0.9)
    #expect(mixed.read([], model: 3) == 3)
  }
}
