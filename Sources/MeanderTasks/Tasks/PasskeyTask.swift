import MeanderFiles

/// One key of five digits, said somewhere and asked for at the end (Mohtashami and Jaggi 2023).
package struct PasskeyTask: RecallTask {
  package static let name = "passkey"

  package var wordings: [Passkey.Wording]
  /// The share of examples in which the question ends in a space, so that the answer begins with a digit.
  package var trailingSpace: Double
  /// The share of examples in which nothing was said, and " none" is the answer.
  package var absent: Double
  /// The share of examples that begin with the instruction to look for a key.
  package var opening: Double

  package init(
    wordings: [Passkey.Wording] = Passkey.Wording.published, trailingSpace: Double = 0.5, absent: Double = 0,
    opening: Double = 0.5
  ) {
    self.wordings = wordings
    self.trailingSpace = trailingSpace
    self.absent = absent
    self.opening = opening
  }

  package init(_ options: inout Configuration) throws {
    self.init()
    let names = try options.strings("wordings", wordings.map(\.rawValue))
    wordings = try names.flatMap { name throws -> [Passkey.Wording] in
      switch name {
      case "published": return Passkey.Wording.published
      case "paraphrases": return Passkey.Wording.paraphrases
      case "all": return Passkey.Wording.allCases
      default:
        if let wording = Passkey.Wording(rawValue: name) { return [wording] }
        let known = Passkey.Wording.allCases.map(\.rawValue).joined(separator: ", ")
        throw options.failure("wordings", "holds '\(name)', it must hold published, paraphrases, all, or of: \(known)")
      }
    }
    guard !wordings.isEmpty else { throw options.failure("wordings", "is empty") }
    trailingSpace = try options.float("trailing_space", trailingSpace, in: 0...1)
    absent = try options.float("absent", absent, in: 0...1)
    opening = try options.float("opening", opening, in: 0...1)
  }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let wording = generator.pick(wordings)
    let key = generator.digits(5)
    let drawn = generator.uniform()
    let hasOpening = generator.chance(opening)
    let isAbsent = generator.chance(absent)
    let hasSpace = generator.chance(trailingSpace)
    let before = min(filler, Int((Double(filler) * (depth ?? drawn)).rounded()))
    var example = Example()
    if hasOpening { example.append(text: wording.opening) }
    if isAbsent {
      example.append(.filler(filler))
    } else {
      example.append(.filler(before))
      example.append(statement: wording.needle(key), of: key)
      example.append(.filler(filler - before))
    }
    example.append(question: wording.question, answer: isAbsent ? Passkey.absent : " " + key, hasSpace: hasSpace)
    return example
  }
}

extension Example {
  /// Adds a question and its answer, which begins with a space: the question takes it over where `hasSpace`.
  package mutating func append(question: String, answer: String, hasSpace: Bool) {
    append(text: hasSpace ? question + " " : question)
    append(answer: hasSpace ? String(answer.dropFirst()) : answer)
  }
}
