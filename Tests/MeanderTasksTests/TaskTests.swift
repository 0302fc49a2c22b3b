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
func aHaystackHasItsNeedleOnceAndAtItsDepth(wording: Passkey.Wording, depth: Double) throws {
  let task = PasskeyTask(wordings: [wording], trailingSpace: 0, opening: 1)
  var generator = TaskGenerator(seed: 3)
  let example = task.example(filler: 200_000, depth: depth, using: &generator)
  var reader = ExampleReader(example, filler: RepeatedFiller([0x2E]).run(generator))
  var text: [UInt8] = []
  while let part = try reader.next() {
    if case .answer = part { break }
    text += part.bytes
  }
  let key = String(decoding: example.answers[0].dropFirst(), as: UTF8.self)
  let string = String(decoding: text, as: UTF8.self)
  #expect(string.split(separator: wording.needle(key), omittingEmptySubsequences: false).count == 2)
  let before = try #require(string.firstRange(of: wording.needle(key)))
  let place = Double(string.utf8.distance(from: string.startIndex, to: before.lowerBound)) / 200_000
  #expect(abs(place - depth) < 0.01)
}
