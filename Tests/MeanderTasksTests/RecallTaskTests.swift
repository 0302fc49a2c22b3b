import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

private let names = RecallTasks.all.map { $0.name }

@Suite struct RecallTaskTests {
  @Test(arguments: names, [0, 1, 40, 5000])
  func anExampleHasItsFillerAndAnAnswer(_ name: String, filler: Int) throws {
    let task = try RecallTasks.make(name, options(), file: "recipe")
    for sample in 0..<20 {
      var generator = TaskGenerator(seed: 5, sample: UInt64(sample))
      let example = try task.example(filler: filler, depth: nil, using: &generator)
      #expect(!example.answers.isEmpty)
      if name != Phonebook.name, name != FrequentWords.name { #expect(example.fillerCount == filler) }
      #expect(example.byteCount == example.text.utf8.count || name == AssociativeRecall.name)
    }
  }

  @Test(arguments: names)
  func aSampleFollowsFromSeedAndNumberAlone(_ name: String) throws {
    let task = try RecallTasks.make(name, options(), file: "recipe")
    func example(_ seed: UInt64, _ sample: UInt64) throws -> Example {
      var generator = TaskGenerator(seed: seed, sample: sample)
      return try task.example(filler: 300, depth: nil, using: &generator)
    }
    let samples = try (0..<30).map { try example(1, $0) }
    #expect(try example(1, 17) == samples[17])
    // One symbol of sixteen may well be the same twice.
    #expect(Set(samples).count > 25)
    #expect(try example(2, 17) != samples[17])
  }

  @Test(arguments: names)
  func unknownOptionsAreRefused(_ name: String) throws {
    #expect(throws: MeanderError.self) { try RecallTasks.make(name, options(#"{"kyes": 3}"#), file: "recipe") }
  }

  @Test func anUnknownTaskIsRefusedByName() throws {
    let error = #expect(throws: MeanderError.self) { try RecallTasks.make("pass-key", options(), file: "recipe") }
    #expect(error?.description.contains("pass-key") == true)
    #expect(error?.remedy?.contains("passkey") == true)
  }

  @Test(arguments: Passkey.Wording.allCases)
  func theAnswerIsTheKeyThatWasSaid(_ wording: Passkey.Wording) throws {
    for sample in 0..<50 {
      var generator = TaskGenerator(seed: 9, sample: UInt64(sample))
      let task = PasskeyTask(wordings: [wording], trailingSpace: 0.5, absent: 0, opening: 0.5)
      let example = task.example(filler: 100, depth: 0.3, using: &generator)
      let answer = try #require(example.answerTexts.first)
      let key = String(answer.drop { $0 == " " })
      #expect(key.count == 5)
      let text = example.text(before: 0)
      #expect(text.contains(wording.needle(key)))
      #expect(text.hasSuffix(answer.hasPrefix(" ") ? wording.question : wording.question + " "))
      let echoes = example.pieces.filter { if case .echo = $0 { true } else { false } }
      #expect(echoes == (wording == .once ? [] : [.echo(Array(key.utf8))]))
      #expect(text.hasPrefix(wording.opening) || text.hasPrefix(String(repeating: ".", count: 30)))
    }
  }

  @Test func whereNoKeyWasSaidTheAnswerIsNone() {
    var generator = TaskGenerator(seed: 2)
    let example = PasskeyTask(trailingSpace: 0, absent: 1, opening: 0).example(
      filler: 64, depth: nil, using: &generator)
    #expect(example.answerTexts == [" none"])
    #expect(example.pieces.count == 3)
  }

  @Test func fixedStatementsSayTheNameFirst() throws {
    let task = try RecallTasks.make(
      "needles", options(#"{"statements": "fixed", "keys": 3, "twice": 1, "trailing_space": 0}"#), file: "recipe")
    for sample in 0..<30 {
      var generator = TaskGenerator(seed: 4, sample: UInt64(sample))
      let example = try task.example(filler: 0, depth: nil, using: &generator)
      let lines = example.text(before: 0).split(separator: "\n").dropLast()
      #expect(lines.count == 3)
      for line in lines {
        #expect(line.wholeMatch(of: /The code of the (\w+) is (\d{5})\. Again, the code of the \1 is \2\./) != nil)
      }
    }
  }

  @Test func numbersThatAreAlikeBeginAlike() throws {
    let task = try RecallTasks.make("needles", options(#"{"statements": "fixed", "alike": 1, "twice": 0}"#), file: "recipe")
    var beginnings: Set<Int> = []
    for sample in 0..<60 {
      var generator = TaskGenerator(seed: 4, sample: UInt64(sample))
      let example = try task.example(filler: 0, depth: nil, using: &generator)
      let numbers = example.text(before: 0).matches(of: /is (\d{5})\./).map { String($0.1) }
      let shared = (1...5).last { count in Set(numbers.map { $0.prefix(count) }).count == 1 }
      beginnings.insert(try #require(shared))
    }
    #expect(beginnings.isSuperset(of: [1, 2, 3, 4]))
  }

  @Test func needlesAnswerWhatIsAsked() throws {
    for sample in 0..<200 {
      var generator = TaskGenerator(seed: 4, sample: UInt64(sample))
      let example = NeedleTask(keys: 2...6, trailingSpace: 0).example(filler: 400, depth: nil, using: &generator)
      let answer = try #require(example.answerTexts.first)
      let lines = example.text(before: 0).split { $0 == "\n" }
      let question = try #require(lines.last)
      // The name in the question is the one that the answer's statement names.
      let statement = try #require(lines.first { $0.contains(answer.dropFirst()) })
      let asked = Words.all.filter { contains($0, in: question) }
      #expect(asked.contains { contains($0, in: statement) }, "\(question) \(statement)")
    }
  }

  private func contains(_ word: String, in text: Substring) -> Bool {
    text.lowercased().split { !$0.isLetter }.contains { $0 == word }
  }

  @Test func rulersNeedlesAreRulers() throws {
    var generator = TaskGenerator(seed: 1)
    let task = try RecallTasks.make(
      "needles", options(#"{"wording": "ruler", "keys": 3, "values": 2, "queries": 2}"#), file: "recipe")
    let example = try task.example(filler: 30, depth: nil, using: &generator)
    let numbers = try #require(example.answerTexts.first).split { $0 == " " || $0 == "," }
    #expect(numbers.count == 4)
    #expect(
      numbers.allSatisfy { $0.count == 7 && !$0.hasPrefix("0") && example.text(before: 0).contains("is: \($0).\n") })
    #expect(example.text.hasPrefix("Some special magic numbers are hidden within the following text. "))
  }

  @Test func theAskedNeedleStandsAtItsDepth() throws {
    for depth in [0.0, 0.25, 1] {
      for sample in 0..<20 {
        var generator = TaskGenerator(seed: 6, sample: UInt64(sample))
        let task = NeedleTask(keys: 4...4, twice: 0, trailingSpace: 0)
        let example = task.example(filler: 100_000, depth: depth, using: &generator)
        let number = try #require(example.answerTexts.first).dropFirst()
        let place = try #require(example.text.firstRange(of: number)).lowerBound
        let offset = example.text.utf8.distance(from: example.text.startIndex, to: place)
        #expect(abs(Double(offset) / 100_000 - depth) < 0.01)
      }
    }
  }

  @Test func everyKeyOfARecallIsAskedOnceWithItsValue() {
    for sample in 0..<50 {
      var generator = TaskGenerator(seed: 7, sample: UInt64(sample))
      let example = AssociativeRecall(pairs: 3...127).example(filler: 200, depth: nil, using: &generator)
      guard case .text(let pairs) = example.pieces[0] else {
        Issue.record("no pairs")
        continue
      }
      var values: [UInt8: UInt8] = [:]
      for place in stride(from: 0, to: pairs.count, by: 2) { values[pairs[place]] = pairs[place + 1] }
      var asked: [UInt8] = []
      for (question, answer) in zip(example.pieces.dropFirst(), example.pieces.dropFirst(2)) {
        guard case .answer(let value) = answer, case .text(let key) = question else { continue }
        asked += key
        #expect(value == [values[key[0]] ?? 0])
      }
      #expect(asked.sorted() == values.keys.sorted())
    }
  }

  @Test func recallIsAskedSoonRatherThanLate() {
    var places: [Int] = []
    for sample in 0..<200 {
      var generator = TaskGenerator(seed: 3, sample: UInt64(sample))
      let example = AssociativeRecall(pairs: 1...1).example(filler: 10_000, depth: nil, using: &generator)
      if case .filler(let before) = example.pieces[1] { places.append(before) } else { places.append(0) }
    }
    // The square root of the length is the median of a law that is nearly 1/g; a uniform one would have 5,000.
    let median = places.sorted()[100]
    #expect((40...400).contains(median), "\(median)")
  }

  @Test func copyingAndInductionRepeatWhatTheySaw() throws {
    var generator = TaskGenerator(seed: 8)
    let copying = SelectiveCopying(count: 5...5).example(filler: 50, depth: nil, using: &generator)
    #expect(copying.text(before: 0).filter { $0 != "." } == (copying.answerTexts.first ?? "") + "|")
    let induction = InductionHeads(count: 3).example(filler: 50, depth: 0.5, using: &generator)
    let parts = induction.text(before: 0).split(separator: "#", omittingEmptySubsequences: false)
    #expect(parts.count == 3 && parts[2].isEmpty && parts[0].count == 25)
    #expect(parts[1].hasPrefix(induction.answerTexts[0]))
  }

  @Test func aPhonebookListsWhomItAsksFor() throws {
    for sample in 0..<30 {
      var generator = TaskGenerator(seed: 8, sample: UInt64(sample))
      let example = Phonebook(entries: 3...40).example(filler: 0, depth: nil, using: &generator)
      let text = example.text(before: 0)
      let parts = text.components(separatedBy: "\n\n")
      #expect(parts.count == 3)
      let book = parts[0].split(separator: "\n")
      #expect(Set(book.map { $0.prefix { $0 != ":" } }).count == book.count)
      #expect(parts[1].split(separator: "\n").allSatisfy { book.contains($0) })
      #expect(book.contains(Substring(parts[2] + example.answerTexts[0])))
    }
    // More entries than there are names.
    var generator = TaskGenerator(seed: 1)
    let book = Phonebook(entries: 9000...9000).example(filler: 0, depth: 1, using: &generator)
    #expect(book.text.split(separator: "\n").count == 9003)
  }

  @Test func variablesAreThoseOfTheAskedChain() throws {
    for sample in 0..<30 {
      var generator = TaskGenerator(seed: 8, sample: UInt64(sample))
      let example = VariableTracking(chains: 3, hops: 2...5).example(filler: 300, depth: nil, using: &generator)
      let text = example.text(before: 0)
      var values: [Substring: Substring] = [:]
      for line in text.split(separator: "\n") {
        guard let start = line.firstRange(of: "VAR ")?.upperBound else { continue }
        let words = line[start...].split(separator: " ")
        guard words.count >= 3, words[1] == "=" else { continue }
        values[words[0]] = words[2] == "VAR" ? values[words[3]] : words[2]
      }
      let asked = try #require(text.components(separatedBy: "assigned the value ").last?.prefix(5))
      let expected = values.filter { $0.value == asked }.keys
      #expect(Set(example.answerTexts[0].split(separator: " ")) == Set(expected))
    }
  }
}

extension String {
  fileprivate func components(separatedBy separator: String) -> [Substring] {
    split(separator: separator, omittingEmptySubsequences: false)
  }

  @Test(arguments: [0, 100, 3000, 200_000])
  func theThreeMostFrequentWordsAreTheAnswer(_ filler: Int) throws {
    var generator = TaskGenerator(seed: 9, sample: UInt64(filler))
    let example = FrequentWords().example(filler: filler, depth: nil, using: &generator)
    guard case .text(let text) = example.pieces[1] else { throw Failure() }
    #expect(filler < 112 || abs(text.count - filler) < 8)
    var counts: [String: Int] = [:]
    for word in String(decoding: text, as: UTF8.self).split(whereSeparator: \.isWhitespace) { counts[String(word), default: 0] += 1 }
    let ranked = counts.sorted { $0.value > $1.value }
    #expect(String(decoding: example.answers[0], as: UTF8.self) == " " + ranked[..<3].map(\.key).joined(separator: " "))
    #expect(ranked[0].value > ranked[1].value && ranked[1].value > ranked[2].value && ranked[2].value > ranked[3].value)
  }

  private struct Failure: Error {}
}
