import Glibc
@preconcurrency import Meander
import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct CascadeTests {
  private static let key = "What is the pass key? The pass key is "
  private static let note = "The pass key is 48213. Remember it. 48213 is the pass key.\n"

  private static func cascade(
    _ name: String = "reader", fallback: String = "passkey", questions: [String] = [], input: CascadeInput? = nil,
    _ change: (inout CascadeOptions) -> Void
  ) async throws -> Cascade {
    let engine = try Engine(threads: 1)
    let session = try Session(try await Model.load(name, engine: engine))
    var options = CascadeOptions()
    change(&options)
    let model = try await Model.load(fallback, engine: engine)
    return try Cascade(session, fallback: model, options: options, questions: questions, input: input)
  }

  /// Lines of prose, and the note between them.
  private static func text(_ before: Int, _ after: Int) -> [UInt8] {
    func lines(_ count: Int) -> String {
      (0..<count).map { "The grass of field \($0) is green. The sky is blue. The sun is yellow. Here we go. There and back.\n" }.joined()
    }
    return Array((lines(before) + note + lines(after)).utf8)
  }

  @Test func aCertainReaderAnswersItself() async throws {
    let cascade = try await Self.cascade("passkey", fallback: "reader") { $0.rule.threshold = -100 }
    try await cascade.feed(bytes: Self.text(5, 5))
    let answer = try await cascade.answer(Self.key, maximumTokens: 5)
    #expect(answer.text == "48213" && answer.model == "passkey" && answer.reason == nil && answer.looks.isEmpty)
    #expect(try #require(answer.confidence) <= 0)
  }

  /// The note stands far from the end. The words of the question lead to it, of those that taught the fallback something it is
  /// most certain behind it, and no more than a twentieth of the input is read again; the reader stays where it was.
  @Test func theRightPartIsFoundAgain() async throws {
    let cascade = try await Self.cascade(questions: [Self.key]) { $0.rule.threshold = 0 }
    let text = Self.text(220, 240)
    for piece in stride(from: 0, to: text.count, by: 1000).map({ Array(text[$0..<min(text.count, $0 + 1000)]) }) {
      try await cascade.feed(bytes: piece)
    }
    let position = cascade.reader.position
    let answer = try await cascade.answer(Self.key, maximumTokens: 5)
    #expect(answer.text == "48213" && answer.model == "passkey" && answer.reason == .uncertain, "\(answer)")
    let place = Int64(text.firstRange(of: Array(Self.note.utf8))?.lowerBound ?? 0)
    let found = answer.looks.first { $0.offset <= place && place < $0.offset + Int64($0.count) }
    #expect(found?.isUsed == true && found?.entropy == answer.looks.filter(\.isUsed).compactMap(\.entropy).min())
    #expect(answer.rereadBytes * 20 <= Int64(text.count) && answer.rereadBytes > 0, "\(answer.rereadBytes) of \(text.count)")
    #expect(answer.looks == answer.looks.sorted { $0.offset < $1.offset })
    #expect(cascade.reader.position == position)
    #expect(answer == (try await cascade.answer(Self.key, maximumTokens: 5)))
  }

  /// What is marked does not depend on how the input was cut, nor on where it is found again.
  @Test func cutsAndSourcesGiveTheSameLooks() async throws {
    let text = Self.text(40, 30)
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("text"), bytes: Array("before".utf8) + text)
    var answers: [CascadeAnswer] = []
    for (cut, input) in [
      (text.count, try CascadeInput.spool()), (37, try CascadeInput.spool(bytes: 1 << 20)),
      (4096, try CascadeInput.file(folder("text"), from: 6)),
    ] {
      let cascade = try await Self.cascade(questions: [Self.key], input: input) { $0.rule.threshold = 0 }
      for start in stride(from: 0, to: text.count, by: cut) {
        try await cascade.feed(bytes: Array(text[start..<min(text.count, start + cut)]))
      }
      answers.append(try await cascade.answer(Self.key, maximumTokens: 5))
    }
    #expect(answers.allSatisfy { $0.looks == answers[0].looks && $0.text == answers[0].text && !$0.looks.isEmpty })
  }

  /// A model that was taught to say that there is none is most certain where there is none; what taught it nothing is left out.
  @Test func aFallbackThatCanAbstainIsNotLedAstray() async throws {
    let needles = Fixture.path("../../Models/needles")
    let question = "What is the code of the harbor? The code of the harbor is"
    let cascade = try await Self.cascade(fallback: needles, questions: [question]) { $0.rule.threshold = 0 }
    let plain = String(decoding: Self.text(120, 0), as: UTF8.self).replacing(Self.note, with: "The code of the harbor is 48213.\n")
    try await cascade.feed(bytes: Array(plain.utf8) + Self.text(60, 60))
    let answer = try await cascade.answer(question, maximumTokens: 4)
    #expect(answer.text == " 48213", "\(answer)")
    // One segment that teaches nothing was more certain, or the test shows nothing.
    let used = answer.looks.filter(\.isUsed).compactMap(\.entropy).max() ?? 0
    #expect(answer.looks.contains { !$0.isUsed && $0.entropy ?? 1 < used }, "\(answer.looks)")
  }

  /// A recall model's own state tells where something was written down, without a question.
  @Test func whatTheStateWroteIsACandidate() async throws {
    let cascade = try await Self.cascade("passkey", fallback: "passkey") { $0.rule.threshold = 100 }
    let text = Self.text(100, 100)
    try await cascade.feed(bytes: text)
    let answer = try await cascade.answer(Self.key, maximumTokens: 5)
    let place = Int64(text.firstRange(of: Array(Self.note.utf8))?.lowerBound ?? 0)
    #expect(answer.looks.contains { $0.offset <= place && place < $0.offset + Int64($0.count) }, "\(answer.looks)")
  }

  @Test func everySegmentCanBeScored() async throws {
    let cascade = try await Self.cascade { ($0.rule.threshold, $0.scoring) = (0, .all) }
    let text = Self.text(20, 10)
    try await cascade.feed(bytes: text)
    let answer = try await cascade.answer(Self.key, maximumTokens: 5)
    #expect(answer.text == "48213" && answer.skipped == 0)
    #expect(answer.looks.reduce(0) { $0 + $1.count } == text.count)
    #expect(zip(answer.looks, answer.looks.dropFirst()).allSatisfy { $0.offset + Int64($0.count) == $1.offset })
  }

  /// Bounds on what is read again hold, and what was not looked at is said.
  @Test func boundsHold() async throws {
    let text = Self.text(40, 40)
    for bytes: Int64 in [0, 700, 3000] {
      let cascade = try await Self.cascade(questions: [Self.key]) { ($0.rule.threshold, $0.rereadBytes) = (0, bytes) }
      try await cascade.feed(bytes: text)
      let answer = try await cascade.answer(Self.key, maximumTokens: 5)
      #expect(answer.rereadBytes <= bytes && answer.skipped > 0)
    }
    let late = try await Self.cascade(questions: [Self.key]) { ($0.rule.threshold, $0.rereadSeconds) = (0, 0) }
    try await late.feed(bytes: text)
    let answer = try await late.answer(Self.key, maximumTokens: 5)
    #expect(answer.looks.isEmpty && answer.skipped > 0)
  }

  /// A spool that is too small has lost the note, and says so.
  @Test func whatTheSpoolHasLostIsSaid() async throws {
    let cascade = try await Self.cascade(questions: [Self.key], input: try .spool(bytes: 3000)) { $0.rule.threshold = 0 }
    try await cascade.feed(bytes: Self.text(5, 50))
    let answer = try await cascade.answer(Self.key, maximumTokens: 5)
    #expect(answer.lost > 0 && answer.text != "48213")
  }

  /// It reads no more than its last tokens, in its own tokenizer, from a whole character on.
  @Test func theLastOfTheInputCanBeTakenAsItIs() async throws {
    let cascade = try await Self.cascade { ($0.rule.threshold, $0.scoring, $0.tokens) = (0, .last, 300) }
    try await cascade.feed(bytes: Self.text(20, 20))
    #expect(try await cascade.answer(Self.key, maximumTokens: 5).text != "48213")

    let pairs = RandomModel.pairs.folder
    let other = try await Self.cascade(fallback: pairs) { ($0.rule.threshold, $0.scoring, $0.tokens) = (0, .last, 44) }
    let text = Array(String(repeating: "päckchen ", count: 60).utf8)
    try await other.feed(bytes: text)
    let answer = try await other.answer("Und? ", maximumTokens: 4, stop: [])
    #expect(answer.model == pairs && answer.tokens == 4)
    let model = try await Model.load(pairs, engine: try Engine(threads: 1))
    let alone = try Session(model)
    let question = model.tokenizer.encode("Und? ")
    let kept = text.suffix(8 * (40 - question.count)).drop { $0 & 0xC0 == 0x80 }
    try await alone.feed(ids: Array(model.tokenizer.encode(Array(kept)).suffix(40 - question.count)) + question)
    var expected = ""
    for try await token in alone.generate(maximumTokens: 4) { expected += token.text }
    #expect(answer.text == expected)
  }

  @Test func optionsOutOfRangeAreRefused() async throws {
    let changes: [@Sendable (inout CascadeOptions) -> Void] = [
      { $0.rule = DeferralRule(.quantile(1.5)) }, { $0.rule.threshold = .nan }, { $0.tokens = 0 }, { $0.segmentBytes = 3 },
      { $0.rule = DeferralRule(.learned([1])) }, { $0.share = 2 },
    ]
    for change in changes {
      let error = await #expect(throws: MeanderError.self) { try await Self.cascade { change(&$0) } }
      #expect(error?.code == .badRequest)
    }
  }
}

@Suite struct DeferralRuleTests {
  @Test func theQuantileLiesBetweenItsNeighbors() {
    #expect(DeferralRule(.quantile(0.5)).confidence(in: [-3, -1, -2]) == -2)
    #expect(DeferralRule(.quantile(0.25)).confidence(in: [-4, 0, -2, -1, -3]) == -3)
    #expect(DeferralRule(.quantile(0.1)).confidence(in: [-2, -1]) == -1.9)
    #expect(DeferralRule(.sum).confidence(in: [-2, -1, -3]) == -6)
    #expect(DeferralRule(.average).confidence(in: [-2, -1, -3]) == -2)
    #expect(DeferralRule().confidence(in: []) == nil)
  }

  /// Each rule defers its budget of the answers that it was calibrated on, the least certain of them; the learned one finds out what
  /// tells right from wrong, here the surest token and not the least sure one.
  @Test(arguments: ["quantile", "sum", "average", "learned"])
  func aBudgetIsKept(name: String) throws {
    var generator = SeededGenerator(seed: 61)
    let answers = (0..<200).map { number -> (logProbabilities: [Double], isRight: Bool) in
      let isRight = number % 2 == 0
      let numbers = generator.uniform(4, in: -3 ... -1).map { Double($0) }
      return (numbers + [isRight ? -0.1 : -0.9], isRight)
    }
    let plain = name == "learned" ? DeferralRule(.learned([])) : try DeferralRule(named: name)
    let rule = plain.calibrated(on: answers, budget: 0.3)
    try rule.validate()
    let deferred = answers.filter { rule.confidence(in: $0.logProbabilities) ?? 0 < rule.threshold }
    #expect(abs(deferred.count - 60) <= 1, "\(deferred.count)")
    if name == "learned" { #expect(deferred.allSatisfy { !$0.isRight }) }
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("rule.json"), bytes: JSON(rule.members).write())
    #expect(try DeferralRule(contentsOf: folder("rule.json")) == rule)
  }

  @Test func aSpoolKeepsTheLastBytes() throws {
    let spool = try Spool(limit: 100)
    let bytes = (0..<1000).map { UInt8($0 % 251) }
    var place = 0
    for size in [1, 99, 100, 101, 250, 449] {
      try spool.append(Array(bytes[place..<place + size]), at: Int64(place))
      place += size
      let kept = Int64(max(0, place - 100))..<Int64(place)
      #expect(try spool.read(kept, before: Int64(place)) == Array(bytes[max(0, place - 100)..<place]))
      if place > 100 { #expect(try spool.read(kept.lowerBound - 1..<kept.upperBound, before: Int64(place)) == nil) }
    }
  }
}
