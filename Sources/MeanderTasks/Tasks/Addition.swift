import MeanderFiles

/// The sum of two numbers of equally many digits: alone, with hints at the digits' places, or by a trace of its steps.
///
/// - `plain`: `742+981=` and `1723`.
/// - `hints`: each digit behind a letter for its place, the last one's first (Zhou and others 2023): `a2b4c7+a1b8c9=` and `a3b2c7d1`.
/// - `trace`: a digit after another from the last, the carry with each, and then the sum (Nye and others 2021): `742+981=` and
///   `2+1+0=03;4+8+0=12;7+9+1=17;1723`.
package struct Addition: RecallTask {
  package static let name = "addition"

  package enum Style: String, Sendable, CaseIterable {
    case plain
    case hints
    case trace
  }

  /// How many digits each number has.
  package var digits: ClosedRange<Int>
  package var style: Style

  package init(digits: ClosedRange<Int> = 8...8, style: Style = .plain) { (self.digits, self.style) = (digits, style) }

  package init(_ options: inout Configuration) throws {
    let style = try options.string("style", "plain", among: Style.allCases.map(\.rawValue))
    self.init(digits: try options.range("digits", 8...8, in: 1...1 << 14), style: Style(rawValue: style) ?? .plain)
  }

  package var filler: (any Filler)? { Letters.filler }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let count = generator.integer(in: digits)
    // The last digits first.
    let numbers = (0..<2).map { _ in (0..<count).map { $0 == count - 1 ? 1 + generator.below(9) : generator.below(10) } }
    var (sum, carries, carry) = ([Int](), [Int](), 0)
    for place in 0..<count {
      let total = numbers[0][place] + numbers[1][place] + carry
      carries.append(carry)
      sum.append(total % 10)
      carry = total / 10
    }
    if carry > 0 { sum.append(carry) }
    var example = Example([.filler(filler)])
    example.append(text: numbers.map(written).joined(separator: "+") + "=")
    var answer = ""
    if style == .trace {
      for place in 0..<count {
        let (a, b, c) = (numbers[0][place], numbers[1][place], carries[place])
        answer += "\(a)+\(b)+\(c)=\((a + b + c) / 10)\((a + b + c) % 10);"
      }
    }
    example.append(answer: answer + written(sum))
    return example
  }

  private func written(_ digits: [Int]) -> String {
    guard style == .hints else { return digits.reversed().map { String($0) }.joined() }
    return digits.enumerated().map { place, digit in
      String(Unicode.Scalar(UInt8(ascii: "a") + UInt8(place % 26))) + String(digit)
    }.joined()
  }
}
