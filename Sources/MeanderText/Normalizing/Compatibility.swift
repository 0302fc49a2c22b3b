/// Compatibility decomposition, scalar by scalar (Unicode 15 section 3.7, D65).
enum Compatibility {
  private static let ranges: [(range: ClosedRange<UInt32>, to: [UInt32])] = {
    CompatibilityTable.text.utf8.split(separator: UInt8(ascii: " ")).compactMap { entry in
      let halves = entry.split(separator: UInt8(ascii: ":"))
      guard halves.count == 2 else { return nil }
      let bounds = halves[0].split(separator: UInt8(ascii: "-")).compactMap(hexadecimal)
      guard let first = bounds.first, let last = bounds.last, first <= last else { return nil }
      return (first...last, halves[1].split(separator: UInt8(ascii: ".")).compactMap(hexadecimal))
    }
  }()

  private static func hexadecimal(_ digits: Substring.UTF8View) -> UInt32? { UInt32(Substring(digits), radix: 16) }

  static func decompose(_ unit: TextUnit) -> [TextUnit] {
    guard unit.value >= 0xA0 else { return [unit] }
    var low = 0
    var high = ranges.count
    while low < high {
      let middle = (low + high) / 2
      if ranges[middle].range.upperBound < unit.value { low = middle + 1 } else { high = middle }
    }
    guard low < ranges.count, ranges[low].range.contains(unit.value) else { return [unit] }
    let (range, target) = ranges[low]
    if target.count == 1 {
      return [TextUnit(value: target[0] + unit.value - range.lowerBound, end: unit.end)]
    }
    return target.map { TextUnit(value: $0, end: unit.end) }
  }
}
