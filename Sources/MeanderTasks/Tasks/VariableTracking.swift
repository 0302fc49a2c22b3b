import MeanderFiles

/// Chains of assignments scattered over filler: which variables hold a value (RULER's `vt`, Hsieh and others 2024)?
///
/// RULER's instruction is not repeated with an example, and its "assgined" is spelt as it is meant.
package struct VariableTracking: RecallTask {
  package static let name = "variable-tracking"

  package var chains: Int
  /// Assignments in a chain after the first.
  package var hops: ClosedRange<Int>

  package init(chains: Int = 1, hops: ClosedRange<Int> = 4...4) {
    self.chains = chains
    self.hops = hops
  }

  package init(_ options: inout Configuration) throws {
    self.init(chains: try options.integer("chains", 1, in: 1...64), hops: try options.range("hops", 4...4, in: 0...64))
  }

  package func example(filler: Int, depth: Double?, using generator: inout TaskGenerator) -> Example {
    let hops = generator.integer(in: hops)
    var seen: Set<String> = []
    let names = (0..<chains).map { _ in (0...hops).map { _ in Self.fresh(&seen) { Self.name(&generator) } } }
    let values = (0..<chains).map { _ in Self.fresh(&seen) { String(generator.integer(in: 10_000...99_999)) } }
    // Lines of a chain keep their order, chains are shuffled together.
    let order = generator.draw(chains * (hops + 1), of: (0..<chains).flatMap { repeatElement($0, count: hops + 1) })
    var reached = [Int](repeating: 0, count: chains)
    let gaps = generator.split(filler, into: order.count + 1)
    var example = Example()
    example.append(text: "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n")
    for (gap, chain) in zip(gaps, order) {
      let hop = reached[chain]
      reached[chain] += 1
      example.append(.filler(gap))
      let value = hop == 0 ? values[chain] : "VAR \(names[chain][hop - 1])"
      example.append(text: "VAR \(names[chain][hop]) = \(value)\n")
    }
    example.append(.filler(gaps[order.count]))
    example.append(
      text: "Question: Find all variables that are assigned the value \(values[0]) in the text above. "
        + "Answer: According to the chain(s) of variable assignment in the text above, \(hops + 1) variables are "
        + "assigned the value \(values[0]), they are:")
    example.append(answer: " " + names[0].joined(separator: " "))
    return example
  }

  private static func name(_ generator: inout TaskGenerator) -> String {
    String(decoding: (0..<5).map { _ in UInt8(ascii: "A") + UInt8(generator.below(26)) }, as: UTF8.self)
  }

  /// The first of the draws that was not seen before.
  private static func fresh(_ seen: inout Set<String>, _ draw: () -> String) -> String {
    while true {
      let drawn = draw()
      if seen.insert(drawn).inserted { return drawn }
    }
  }
}
