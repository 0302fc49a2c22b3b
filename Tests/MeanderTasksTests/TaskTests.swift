import MeanderTasks
import MeanderTestSupport
import Testing

@Test func wilsonsIntervalIsThePublishedOne() {
  let interval = Proportion(hits: 19, of: 20).interval()
  #expect(abs(interval.lowerBound - 0.7639) < 1e-3)
  #expect(abs(interval.upperBound - 0.9911) < 1e-3)
  #expect(Proportion(hits: 20, of: 20).interval().upperBound == 1)
  #expect(Proportion(hits: 0, of: 20).interval().lowerBound == 0)
}

@Test(arguments: Passkey.Wording.allCases, [0.0, 0.37, 1.0])
func aHaystackHasItsLengthAndItsNeedleOnce(wording: Passkey.Wording, depth: Double) throws {
  let task = Passkey(wording: wording, key: "04821", depth: depth)
  let text = task.pieces(length: 200_000) { [UInt8](repeating: 0x2E, count: $0) }.flatMap { $0 }
  #expect(text.count == 200_000)
  let string = String(decoding: text, as: UTF8.self)
  #expect(string.split(separator: wording.needle("04821"), omittingEmptySubsequences: false).count == 2)
  let before = try #require(string.firstRange(of: wording.needle("04821")))
  let place = Double(string.utf8.distance(from: string.startIndex, to: before.lowerBound)) / 200_000
  #expect(abs(place - depth) < 0.01)
}

@Test func keysHaveFiveDigits() {
  var generator = SeededGenerator(seed: 3)
  let keys = (0..<2000).map { _ in Passkey.drawKey(using: &generator) }
  #expect(keys.allSatisfy { $0.count == 5 && Int($0) != nil })
  #expect(keys.contains { $0.hasPrefix("0") })
}
