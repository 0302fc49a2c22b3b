/// How an answer is judged.
package enum Scoring {
  /// Whether `output` says `answer` first of all; blanks before it are passed over.
  package static func begins(_ output: String, with answer: String) -> Bool {
    output.drop { $0.isWhitespace }.hasPrefix(answer.drop { $0.isWhitespace })
  }

  /// Whether `answer` occurs in `output`: the published rule for pass keys.
  package static func contains(_ output: String, _ answer: String) -> Bool {
    let answer = answer.drop { $0.isWhitespace }
    return answer.isEmpty || output.contains(answer)
  }

  /// The share of the parts of `answer` (set apart by commas or blanks) that occur in `output`: RULER's rule for
  /// several values.
  package static func share(_ output: String, _ answer: String) -> Double {
    let parts = answer.split { $0 == "," || $0.isWhitespace }
    guard !parts.isEmpty else { return 1 }
    return Double(parts.count { output.contains($0) }) / Double(parts.count)
  }
}
