/// Filler in which things stand that look like what is asked for, and are not: statements of other numbers, runs of
/// numbers, dates, serial numbers. Models that learn to write any number into their state are cured by these.
package struct DistractedFiller: Filler {
  private let filler: any Filler
  /// How many bytes of filler stand between two distractors, on average.
  private let spacing: Int

  package init(_ filler: any Filler, spacing: Int) {
    self.filler = filler
    self.spacing = max(1, spacing)
  }

  package func run(_ generator: TaskGenerator) throws -> any FillerRun {
    var generator = generator
    return Run(base: try filler.run(generator.fork()), spacing: spacing, generator: generator)
  }

  private struct Run: FillerRun {
    var base: any FillerRun
    let spacing: Int
    var generator: TaskGenerator
    var pending = PendingBytes()

    var document: String? { base.document }
    var origin: FillerOrigin? { base.origin }

    mutating func next(_ count: Int) throws -> [UInt8] {
      while pending.count < count {
        // Uniform gaps of the right mean: nothing hangs on their distribution.
        let filler = try base.next(1 + generator.below(2 * spacing))
        pending.append(filler)
        let joint = filler.last == UInt8(ascii: "\n") ? "" : filler.last == UInt8(ascii: " ") ? "" : " "
        pending.append(Array((joint + Distractor.draw(using: &generator)).utf8))
      }
      return pending.take(count)
    }
  }
}

/// A line that looks like a needle.
package enum Distractor {
  /// One line, its line break included.
  package static func draw(using generator: inout TaskGenerator) -> String {
    switch generator.below(8) {
    case 0, 1: return statement(using: &generator)
    case 2: return numbers(using: &generator)
    case 3: return date(using: &generator)
    case 4: return "Serial number \(generator.pick(letters))\(generator.pick(letters))-\(generator.digits(7)).\n"
    case 5:
      return "\(Words.capitalized(generator.pick(Words.all))): \(generator.digits(generator.integer(in: 1...9)))\n"
    case 6:
      return "Call \(generator.digits(3))-\(generator.digits(4)) and ask for room \(generator.digits(3)).\n"
    default:
      let key = generator.digits(5)
      return "The \(generator.pick(Words.all)) is \(key). Note it. \(key) is the \(generator.pick(Words.all)).\n"
    }
  }

  private static let letters = ["A", "B", "D", "K", "M", "Q", "X", "Z"]

  private static func statement(using generator: inout TaskGenerator) -> String {
    let number = generator.digits(5)
    return generator.pick([
      "The pass word is \(number).\n", "The passport is \(number). Keep it.\n", "The pass costs \(number).\n",
      "The key is under page \(number).\n", "The key pass is \(number). Forget it.\n",
      "Remember that \(number) is a number.\n",
      "What is the price? The price is \(number).\n", "The password of \(generator.pick(Words.all)) is \(number).\n",
    ])
  }

  private static func numbers(using generator: inout TaskGenerator) -> String {
    let count = generator.integer(in: 2...12)
    let width = generator.integer(in: 1...6)
    return (0..<count).map { _ in generator.digits(width) }.joined(separator: generator.pick([" ", ", ", "\t"])) + "\n"
  }

  private static func date(using generator: inout TaskGenerator) -> String {
    let year = String(generator.integer(in: 1900...2030))
    let month = generator.integer(in: 1...12)
    let day = generator.integer(in: 1...28)
    let padded = (month < 10 ? "0" : "") + "\(month)-" + (day < 10 ? "0" : "") + "\(day)"
    return generator.pick([
      "On \(year)-\(padded) nothing happened.\n", "Since \(year) is \(day).\n", "\(day).\(month).\(year)\n",
    ])
  }
}
