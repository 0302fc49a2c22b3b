import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import MeanderText
import MeanderTraining
import Testing

@Suite struct TaskSourceTests {
  private let folder = TemporaryFolder()

  private func source(_ json: String, lanes: Int = 3, seed: UInt64 = 1, tokenizer: Tokenizer = .bytes) throws
    -> TaskSource
  {
    let lines = (0..<300).map { "Line \($0) of this file says nöthing.\n" }.joined()
    try AtomicFile.write(folder("text"), bytes: Array(lines.utf8))
    try AtomicFile.write(folder("negatives"), bytes: Array("Monday is 1\u{0}Sunday is 7\u{0}".utf8))
    var options = try Configuration(JSON.parse(FileBytes(Array(json.utf8), path: "recipe")), file: "recipe")
    let source = try TaskSource(
      &options, SourceContext(tokenizer: tokenizer, lanes: lanes, seed: seed, folder: folder.path))
    try options.finish()
    return source
  }

  private static let everything = """
    {"task": "passkey", "options": {"wordings": ["all"], "absent": 0.2}, "length": [10, 3000], "start": 40, "span": 3,
     "fillers": [{"kind": "classic"}, {"kind": "words"}, {"kind": "text", "share": 3, "paths": ["text"]}],
     "negatives": {"path": "negatives", "share": 0.3}, "distractors": 200, "distracted": 0.5, "text_weight": 0.1
    """

  private static let recipes = [
    everything + "}", everything + #", "carry": true}"#,
    #"{"task": "needles", "options": {"keys": [2, 5]}, "length": [20, 90], "power": 64, "span": 2}"#,
    #"{"task": "mqar", "options": {"pairs": [2, 9]}, "length": [0, 50], "carry": true}"#,
    #"{"task": "phonebook", "options": {"entries": [3, 9]}}"#,
    #"{"task": "induction", "power": 100}"#, #"{"task": "selective-copying"}"#, #"{"task": "variable-tracking"}"#,
  ]

  @Test(arguments: recipes)
  func aRestoredSourceGoesOnAsTheFirst(_ recipe: String) throws {
    var generator = SeededGenerator(seed: 11)
    for _ in 0..<6 {
      let first = try source(recipe)
      func step(_ source: TaskSource, _ number: Int) throws -> [Sample] {
        let samples = try (0..<3).map { try source.next(lane: $0, length: 1 + (number * 37) % 200) }
        source.learned(0.9 + Double(number % 5) * 0.02)
        return samples
      }
      let moment = Int.random(in: 0..<25, using: &generator)
      for number in 0..<moment { _ = try step(first, number) }
      let position = try SourcePosition(text: first.position.text)
      let second = try source(recipe)
      try second.restore(position)
      #expect(second.position == first.position)
      for number in moment..<moment + 12 { #expect(try step(second, number) == step(first, number)) }
      #expect(second.position == first.position)
    }
  }

  @Test(arguments: recipes)
  func segmentsAreOneText(_ recipe: String) throws {
    let source = try source(recipe)
    for number in 0..<20 {
      for lane in 0..<3 {
        let length = [1, 7, 64, 500][number % 4]
        let sample = try source.next(lane: lane, length: length)
        #expect(!sample.segments.isEmpty)
        #expect(sample.segments.allSatisfy { (1...length).contains($0.tokens.count) })
        let tokens = sample.segments.flatMap(\.tokens)
        let targets = sample.segments.flatMap(\.targets)
        #expect(Array(tokens.dropFirst()) == Array(targets.dropLast()))
      }
    }
  }

  @Test(arguments: RecallTasks.all.map { $0.name })
  func weightsStandExactlyOnAnswers(_ name: String) throws {
    for tokenizer in [
      Tokenizer.bytes, try Tokenizer.reading(FileBytes.mapping(Fixture.path("tokenizers/bpe-neox/tokenizer.json"))),
    ] {
      // Keys of the recall are bytes that are no text.
      if name == "mqar", tokenizer.kind != "bytes" { continue }
      let source = try source(#"{"task": "\#(name)", "length": [30, 90], "echo": 0}"#, tokenizer: tokenizer)
      let none = try Configuration(.object(JSONObject()), file: "recipe")
      // In text, an answer ends with the line.
      let end = try RecallTasks.make(name, none, file: "recipe").filler == nil ? Array("\n".utf8) : []
      for number in 0..<20 {
        let sample = try source.next(lane: 1, length: 10_000)
        let segment = try #require(sample.segments.first)
        let ids = [segment.tokens[0]] + segment.targets
        let example = try self.example(name, number)
        let text = ids.flatMap { tokenizer.bytes(of: $0) }
        #expect(sample.segments.count == 1)
        // The text ends in the last answer, and the weighted tokens spell the answers.
        let answers = example.answers.flatMap { $0 } + end
        let weighted = zip(segment.targets, segment.weights).filter { $0.1 == 1 }.flatMap { tokenizer.bytes(of: $0.0) }
        #expect(segment.weights.allSatisfy { $0 == 0 || $0 == 1 })
        if tokenizer.kind == "bytes" {
          #expect(weighted == answers)
          let last = (example.answers.last ?? []) + end
          #expect(text.suffix(last.count).elementsEqual(last))
        } else {
          #expect(weighted.suffix(answers.count).elementsEqual(answers) && weighted.count <= answers.count + 1)
        }
      }
    }
  }

  /// The example that the source makes: sample `number` of lane 1, seed 1.
  private func example(_ name: String, _ number: Int) throws -> Example {
    var generator = TaskGenerator(seed: 1, sample: 1 << 40 | UInt64(number))
    _ = generator.uniform()
    var options = try Configuration(.object(JSONObject()), file: "recipe")
    let task = try #require(RecallTasks.all.first { $0.name == name }).init(&options)
    // What is asked and answered does not hang on how much filler there is, except for where MQAR asks.
    var first = generator
    let example = try task.example(filler: 60, depth: nil, using: &first)
    return name == "mqar" || name == "phonebook" ? try exact(task, number) : example
  }

  /// The same with the length that was drawn, found by trying them all.
  private func exact(_ task: any RecallTask, _ number: Int) throws -> Example {
    let source = try source(#"{"task": "\#(type(of: task).name)", "length": [30, 90], "echo": 0}"#)
    for _ in 0..<number { _ = try source.next(lane: 1, length: 10_000) }
    let segment = try source.next(lane: 1, length: 10_000).segments[0]
    for filler in 30...90 {
      var generator = TaskGenerator(seed: 1, sample: 1 << 40 | UInt64(number))
      _ = generator.uniform()
      let example = try task.example(filler: filler, depth: nil, using: &generator)
      let run = try (task.filler ?? RepeatedFiller.classic).run(TaskGenerator(seed: 1))
      var reader = ExampleReader(example, filler: run, closesLines: task.filler == nil)
      var text: [UInt8] = []
      while let part = try reader.next() { text += part.bytes }
      if task.filler == nil { text += Array("\n".utf8) }
      if text.starts(with: ([segment.tokens[0]] + segment.targets).map { UInt8($0) }) { return example }
    }
    throw MeanderError(.badData, "no example is this one")
  }

  @Test(arguments: [1, 8]) func answersSecondMentionsAndTextHaveTheirWeights(answer: Float) throws {
    let recipe = #"{"task": "passkey", "options": {"wordings": ["landmark"], "trailing_space": 0, "opening": 0},"#
    let source = try source(recipe + #" "length": 50, "echo": 0.25, "text_weight": 0.125, "answer_weight": \#(answer)}"#)
    let segment = try source.next(lane: 0, length: 1000).segments[0]
    func text(_ weight: Float) -> String {
      String(
        decoding: zip(segment.targets, segment.weights).filter { $0.1 == weight }.map { UInt8($0.0) }, as: UTF8.self)
    }
    #expect(text(answer).count == 7 && text(answer).hasSuffix(text(answer / 4) + "\n") && text(answer / 4).count == 5)
    #expect(segment.weights.count { $0 == 0.125 } == segment.weights.count - 12)
  }

  @Test func powersRepeatTheFillerAlone() throws {
    let source = try source(
      #"{"task": "passkey", "options": {"wordings": ["log"], "opening": 0}, "length": [40, 96], "#
        + #""power": 16384, "start": 16384}"#
    )
    var repeats: [Int] = []
    for _ in 0..<200 {
      let sample = try source.next(lane: 0, length: 300)
      #expect(sample.segments.count <= 4)
      for segment in sample.segments where segment.repeats > 1 {
        let text = String(decoding: segment.tokens.map { UInt8($0) }, as: UTF8.self)
        #expect(!text.contains("key") && text.utf8.count <= 96 && text.hasSuffix("\n"))
        #expect(segment.weights.allSatisfy { $0 == 0 })
        repeats.append(segment.repeats)
      }
    }
    #expect(repeats.max().map { (8000...16_384).contains($0) } == true)
    // Log-uniform: half of them below the root of the maximum.
    let few = Double(repeats.count { $0 < 128 }) / Double(repeats.count)
    #expect((0.3...0.6).contains(few))
  }

  @Test func aCurriculumAdvancesOnSuccessAndOnlyThen() throws {
    let source = try source(#"{"task": "passkey", "length": [8, 1000], "start": 16, "span": 5, "threshold": 0.9}"#)
    func limit() -> Int? { source.position.json["curriculum"]?["limit"]?.integer }
    for _ in 0..<100 { source.learned(0.89) }
    #expect(limit() == 16)
    // 0.89 · 0.8^k + 1 - 0.8^k passes 0.9 at once.
    source.learned(1)
    #expect(limit() == 64)
    for _ in 0..<4 { source.learned(1) }
    #expect(limit() == 64)
    source.learned(1)
    #expect(limit() == 256)
    for _ in 0..<50 { source.learned(1) }
    #expect(limit() == 1000)
  }

  @Test func lengthsFollowTheCurriculum() throws {
    let source = try source(
      #"{"task": "passkey", "options": {"opening": 0}, "length": [8, 4000], "start": 32, "span": 1}"#)
    func longest() throws -> Int {
      try (0..<60).map { _ in try source.next(lane: 0, length: 10_000).segments[0].tokens.count }.max() ?? 0
    }
    #expect(try longest() < 32 + 160)
    for _ in 0..<10 { source.learned(1) }
    #expect(try longest() > 2000)
  }

  @Test func aCarriedLaneIsOneStream() throws {
    let recipe = #"{"task": "passkey", "length": [10, 400], "carry": true}"#
    let (short, long) = (try source(recipe), try source(recipe))
    let whole = try long.next(lane: 2, length: 5000).segments[0]
    var joined = Segment(tokens: [], targets: [], weights: [])
    for number in 0..<50 {
      let sample = try short.next(lane: 2, length: 100)
      #expect(sample.continues == (number > 0))
      joined.tokens += sample.segments[0].tokens
      joined.targets += sample.segments[0].targets
      joined.weights += sample.segments[0].weights
    }
    #expect(joined == whole)
    #expect(whole.weights.count { $0 == 1 } > 50)
  }

  @Test func badRecipesAreRefused() {
    for recipe in [
      #"{"task": "pass"}"#, #"{}"#, #"{"task": "passkey", "power": 4, "carry": true}"#,
      #"{"task": "passkey", "lenght": 3}"#,
      #"{"task": "passkey", "fillers": []}"#,
      #"{"task": "passkey", "fillers": [{"kind": "text", "paths": ["absent"]}]}"#,
      #"{"task": "passkey", "fillers": [{"kind": "lorem"}]}"#, #"{"task": "passkey", "length": [9, 3]}"#,
    ] {
      #expect(throws: MeanderError.self, "\(recipe)") { try source(recipe) }
    }
  }

  @Test func aForeignPositionIsRefused() throws {
    let position = try source(#"{"task": "passkey"}"#, lanes: 2).position
    #expect(throws: MeanderError.self) { try source(#"{"task": "passkey"}"#).restore(position) }
    #expect(throws: MeanderError.self) { try source(#"{"task": "passkey"}"#).restore(SourcePosition(.null)) }
  }
}
