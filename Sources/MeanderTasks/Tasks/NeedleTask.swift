import MeanderFiles

/// Several named numbers in one haystack, and questions for some of them: multi-key, multi-value and multi-query
/// needles as in RULER (Hsieh and others 2024), or with wordings of our own that vary.
package struct NeedleTask: RecallTask {
  package static let name = "needles"

  /// How many names are given numbers.
  package var keys: ClosedRange<Int>
  /// How many numbers each name is given; all of them are asked for, in their order.
  package var values: Int
  /// How many names are asked for in one question.
  package var queries: Int
  package var digits: Int
  /// RULER's instruction, statement and question, in place of wordings that vary.
  package var isRuler: Bool
  /// The share of examples whose numbers all begin alike, up to a drawn digit, so that what was said of a number
  /// does not tell how it goes on: only the name does.
  package var alike: Double
  /// One statement for all, in which the name stands before its number, in place of six.
  package var isFixed: Bool
  /// The fixed statement's own beginning as the question, in place of five: what stands right before the answer has been read before.
  package var asksFixed: Bool
  /// The share of statements that say the number twice (not in RULER's wording).
  package var twice: Double
  package var trailingSpace: Double
  /// The share of examples that ask for a name that was not mentioned, and expect " none".
  package var absent: Double
  /// How many questions are asked, each behind the right answer to the one before: one where recall is measured, more
  /// where much is to be learned from one haystack.
  package var rounds: Int

  package init(
    keys: ClosedRange<Int> = 4...4, values: Int = 1, queries: Int = 1, digits: Int = 5, isRuler: Bool = false,
    isFixed: Bool = false, asksFixed: Bool = false, alike: Double = 0, twice: Double = 0.5, trailingSpace: Double = 0.5, absent: Double = 0, rounds: Int = 1
  ) {
    self.keys = keys
    self.rounds = rounds
    self.values = values
    self.queries = queries
    self.digits = digits
    self.isRuler = isRuler
    self.isFixed = isFixed
    self.asksFixed = asksFixed
    self.alike = alike
    self.twice = twice
    self.trailingSpace = trailingSpace
    self.absent = absent
  }

  package init(_ options: inout Configuration) throws {
    self.init()
    isRuler = try options.string("wording", "varied", among: ["varied", "ruler"]) == "ruler"
    isFixed = try options.string("statements", "varied", among: ["varied", "fixed"]) == "fixed"
    asksFixed = try options.string("questions", "varied", among: ["varied", "fixed"]) == "fixed"
    keys = try options.range("keys", 4...4, in: 1...Words.all.count - 1)
    values = try options.integer("values", 1, in: 1...16)
    queries = try options.integer("queries", 1, in: 1...keys.lowerBound)
    digits = try options.integer("digits", isRuler ? 7 : 5, in: 1...18)
    alike = try options.float("alike", 0, in: 0...1)
    twice = try options.float("twice", isRuler ? 0 : 0.5, in: 0...1)
    trailingSpace = try options.float("trailing_space", isRuler ? 0 : 0.5, in: 0...1)
    absent = try options.float("absent", 0, in: 0...1)
    rounds = try options.integer("rounds", 1, in: 1...64)
  }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = generator.integer(in: keys)
    // One name more than is told of, for the question that has no answer.
    let names = generator.draw(count + 1, of: Words.all)
    let beginning = beginning(using: &generator)
    let numbers = names.map { _ in (0..<values).map { _ in number(beginning, using: &generator) } }
    let asked = asked(of: count, &generator)

    var statements = (0..<count).flatMap { name in numbers[name].map { (name, $0) } }
    statements = generator.draw(statements.count, of: statements)
    let stretches = stretches(filler, statements.map(\.0), asked: asked[0], depth, &generator)

    var example = Example()
    if isRuler { example.append(text: opening(isSingle: queries * values <= 1)) }
    for (stretch, (name, value)) in zip(stretches, statements) {
      example.append(.filler(stretch))
      example.append(statement: statement(names[name], value, &generator), of: value)
    }
    example.append(.filler(stretches[statements.count]))
    for round in 0..<rounds {
      if round > 0 { example.append(text: "\n") }
      let asked = round == 0 ? asked : self.asked(of: count, &generator)
      // Names in the order of the question, the numbers of each in the order in which they were said.
      let answers = asked.flatMap { name in statements.filter { $0.0 == name }.map(\.1) }
      let answer = answers.isEmpty ? Passkey.absent : " " + answers.joined(separator: ", ")
      let question = question(asked.map { names[$0] }, isSingle: answers.count <= 1, &generator)
      example.append(question: question, answer: answer, hasSpace: generator.chance(trailingSpace))
    }
    return example
  }

  /// The names that one question asks for, by their places; that of no statement where there is nothing to answer.
  private func asked(of count: Int, _ generator: inout TaskGenerator) -> [Int] {
    generator.chance(absent) ? [count] : generator.draw(queries, of: Array(0..<count))
  }

  /// A number whose first digit is not 0, as RULER has it.
  private func number(_ beginning: String, using generator: inout TaskGenerator) -> String {
    let first = beginning.isEmpty ? String(generator.integer(in: 1...9)) : beginning
    return first + generator.digits(digits - first.count)
  }

  /// What the numbers of one example all begin with: nothing, unless they are alike.
  private func beginning(using generator: inout TaskGenerator) -> String {
    guard alike > 0, digits > 1, generator.chance(alike) else { return "" }
    return String(generator.integer(in: 1...9)) + generator.digits(generator.integer(in: 0...digits - 2))
  }

  /// The filler before each statement and behind the last: cut uniformly, with the first statement of `asked` at
  /// `depth`.
  private func stretches(
    _ filler: Int, _ order: [Int], asked: Int, _ depth: Double?, _ generator: inout TaskGenerator
  ) -> [Int] {
    guard let depth, let place = order.firstIndex(of: asked) else {
      return generator.split(filler, into: order.count + 1)
    }
    let before = min(filler, Int((Double(filler) * depth).rounded()))
    return generator.split(before, into: place + 1)
      + generator.split(filler - before, into: order.count - place)
  }
}

extension NeedleTask {
  private func opening(isSingle: Bool) -> String {
    isSingle
      ? "A special magic number is hidden within the following text. Make sure to memorize it. "
        + "I will quiz you about the number afterwards.\n"
      : "Some special magic numbers are hidden within the following text. Make sure to memorize it. "
        + "I will quiz you about the numbers afterwards.\n"
  }

  private func statement(_ name: String, _ value: String, _ generator: inout TaskGenerator) -> String {
    if isRuler { return "One of the special magic numbers for \(name) is: \(value).\n" }
    let isSaidTwice = generator.chance(twice)
    if isFixed {
      let statement = "The code of the \(name) is \(value)."
      return statement + (isSaidTwice ? " Again, the code of the \(name) is \(value)." : "") + "\n"
    }
    let statement = generator.pick([
      "The code of the \(name) is \(value).", "The number of the \(name) is \(value).",
      "Remember the number \(value): it belongs to the \(name).", "For the \(name), write down \(value).",
      "\(Words.capitalized(name)): code \(value).",
      "One of the numbers to keep is that of the \(name), which is \(value).",
    ])
    let echo = generator.pick([
      " \(value) is the code of the \(name).", " Again, the \(name) has \(value).",
      " So the \(name) goes with \(value).",
    ])
    return statement + (isSaidTwice ? echo : "") + "\n"
  }

  private func question(_ names: [String], isSingle: Bool, _ generator: inout TaskGenerator) -> String {
    let list = Self.list(names)
    if isRuler {
      return isSingle
        ? "What is the special magic number for \(list) mentioned in the provided text? "
          + "The special magic number for \(list) mentioned in the provided text is"
        : "What are all the special magic numbers for \(list) mentioned in the provided text? "
          + "The special magic numbers for \(list) mentioned in the provided text are"
    }
    if isSingle {
      if asksFixed { return "The code of the \(list) is" }
      return generator.pick([
        "What is the code of the \(list)? The code of the \(list) is",
        "What is the number of the \(list)? The number of the \(list) is",
        "Which number belongs to the \(list)? To the \(list) belongs",
        "Tell me the code for the \(list). It is",
        "\(Words.capitalized(list)): which code?",
      ])
    }
    return generator.pick([
      "What are the codes of the \(list)? They are", "Which numbers belong to the \(list)? The numbers are",
      "Tell me all the numbers of the \(list):",
    ])
  }

  /// `a`, `a and b`, `a, b, and c`.
  private static func list(_ names: [String]) -> String {
    switch names.count {
    case 1: names[0]
    case 2: names[0] + " and " + names[1]
    default: names.dropLast().joined(separator: ", ") + ", and " + names[names.count - 1]
    }
  }
}

extension Configuration {
  /// A number or a pair of numbers, the smaller first.
  package mutating func range(_ key: String, _ fallback: ClosedRange<Int>, in bounds: ClosedRange<Int>) throws
    -> ClosedRange<Int>
  {
    let numbers = try integers(key, [fallback.lowerBound, fallback.upperBound], in: bounds)
    guard (1...2).contains(numbers.count), numbers[0] <= numbers[numbers.count - 1] else {
      throw failure(key, "must be a number, or two with the smaller first")
    }
    return numbers[0]...numbers[numbers.count - 1]
  }
}
