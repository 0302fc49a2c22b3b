/// The steps that text goes through before it is cut, in order. Each is a transducer: it takes scalars, and
/// remembers in a `NormalizerState` what it cannot decide before it has seen more.
struct Normalizer: Sendable {
  enum Step: Sendable {
    /// Normalization form C: composition of what canonically belongs together.
    case compose
    /// The compatibility decompositions; with `compose` behind it, form KC.
    case compatibility
    /// The rules of the `nmt` normalizer: control characters dropped, blanks of all kinds made spaces.
    case neural
    /// Scalars put before a text that is not empty: always, or unless it begins with them, or unless it does
    /// or is not the first of the stream.
    case prepend([UInt32], PrefixRule)
    /// Every occurrence of `pattern` replaced.
    case replace(pattern: [UInt32], by: [UInt32])
    /// Runs of at least `count` spaces replaced.
    case spaceRuns(count: Int, by: [UInt32])
    /// Blanks dropped at the beginning, at the end.
    case strip(left: Bool, right: Bool)
    /// The longest match in a table that a sentencepiece model brings along.
    case characterMap(CharacterMap)
    /// sentencepiece's treatment of spaces: runs become one, those at the ends go.
    case extraSpaces
  }

  enum PrefixRule: Sendable { case always, unlessThere, firstUnlessThere }

  var steps: [Step] = []

  /// Composition alone: text in which nothing can compose passes by without being looked at scalar by scalar.
  var composesOnly: Bool {
    if steps.count == 1, case .compose = steps[0] { true } else { false }
  }

  /// Takes `input`, all of a text if `atEnd`, and returns what is settled.
  func push(_ input: [TextUnit], atEnd: Bool, _ state: inout NormalizerState) -> [TextUnit] {
    var units = input
    for (index, step) in steps.enumerated() {
      if units.isEmpty && !atEnd { break }
      var held = state.held[index]
      units = run(step, units, atEnd, &held)
      if atEnd { held = NormalizerState.Held() }
      state.held[index] = held
    }
    return units
  }

  /// All of a text at once, as bytes: for the contents of added tokens.
  func normalized(_ text: [UInt8]) -> [UInt8] {
    var state = NormalizerState(steps.count)
    var bytes: [UInt8] = []
    for unit in push(TextUnit.reading(text[...], from: 0, replacingInvalid: false), atEnd: true, &state) {
      unit.write(to: &bytes)
    }
    return bytes
  }

  private func run(
    _ step: Step, _ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held
  ) -> [TextUnit] {
    switch step {
    case .compose: return Composition.push(input, atEnd, &held)
    case .compatibility: return input.flatMap { Compatibility.decompose($0) }
    case .neural: return input.compactMap(neural)
    case .prepend(let prefix, let rule): return prepend(prefix, rule, input, &held)
    case .replace(let pattern, let replacement): return replace(pattern, replacement, input, atEnd, &held)
    case .spaceRuns(let count, let replacement): return spaceRuns(count, replacement, input, atEnd, &held)
    case .strip(let left, let right): return strip(left, right, input, atEnd, &held)
    case .characterMap(let map): return map.push(input, atEnd, &held)
    case .extraSpaces: return extraSpaces(input, &held)
    }
  }

  private func prepend(
    _ prefix: [UInt32], _ rule: PrefixRule, _ input: [TextUnit], _ held: inout NormalizerState.Held
  ) -> [TextUnit] {
    guard !held.isStarted, let first = input.first else { return input }
    held.isStarted = true
    let start = max(0, first.end - Int64(first.length))
    if rule != .always && first.value == prefix.first || rule == .firstUnlessThere && start > 0 { return input }
    return prefix.map { TextUnit(value: $0, end: start) } + input
  }

  private func neural(_ unit: TextUnit) -> TextUnit? {
    switch unit.value {
    case 0x01...0x08, 0x0B, 0x0E...0x1F, 0x7F, 0x8F, 0x9F: nil
    case 0x09, 0x0A, 0x0C, 0x0D, 0x1680, 0x200B...0x200F, 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD:
      TextUnit(value: 0x20, end: unit.end)
    default: unit
    }
  }

  private func replace(
    _ pattern: [UInt32], _ replacement: [UInt32], _ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held
  ) -> [TextUnit] {
    let units = held.units + input
    held.units = []
    var output: [TextUnit] = []
    output.reserveCapacity(units.count)
    var place = 0
    while place < units.count {
      let window = units[place..<min(place + pattern.count, units.count)]
      guard zip(window, pattern).allSatisfy({ $0.value == $1 }) else {
        output.append(units[place])
        place += 1
        continue
      }
      if window.count < pattern.count && !atEnd {
        held.units = Array(window)
        break
      }
      if window.count == pattern.count {
        let end = window[window.endIndex - 1].end
        output += replacement.map { TextUnit(value: $0, end: end) }
      } else {
        output.append(units[place])
        place += 1
        continue
      }
      place += pattern.count
    }
    return output
  }

  /// A run is counted, not held: `held.count` spaces are open, the last of which ends at `held.end`.
  private func spaceRuns(
    _ least: Int, _ replacement: [UInt32], _ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held
  ) -> [TextUnit] {
    var output: [TextUnit] = []
    output.reserveCapacity(input.count)
    func close() {
      if held.count >= least {
        output += replacement.map { TextUnit(value: $0, end: held.end) }
      } else {
        for index in 0..<held.count {
          output.append(TextUnit(value: 0x20, end: held.end - Int64(held.count - 1 - index)))
        }
      }
      held.count = 0
    }
    for unit in input {
      if unit.value == 0x20 {
        held.count = min(held.count + 1, least)
        held.end = unit.end
      } else {
        close()
        output.append(unit)
      }
    }
    if atEnd { close() }
    return output
  }

  private func strip(
    _ left: Bool, _ right: Bool, _ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held
  ) -> [TextUnit] {
    var output: [TextUnit] = []
    for unit in input {
      let isBlank = Unicode.Scalar(unit.value)?.properties.isWhitespace ?? false
      if left && !held.isStarted && isBlank { continue }
      held.isStarted = true
      if right && isBlank && held.units.count < TokenMatcher.mostBlanks {
        held.units.append(unit)
      } else {
        output += held.units
        output.append(unit)
        held.units = []
      }
    }
    if atEnd && !right { output += held.units }
    return output
  }

  /// `held.count` is 1 while a space waits for something to stand before.
  private func extraSpaces(_ input: [TextUnit], _ held: inout NormalizerState.Held) -> [TextUnit] {
    var output: [TextUnit] = []
    for unit in input {
      if unit.value == 0x20 {
        if held.isStarted && held.count == 0 { (held.count, held.end) = (1, unit.end) }
        continue
      }
      if held.count == 1 { output.append(TextUnit(value: 0x20, end: held.end)) }
      held.count = 0
      held.isStarted = true
      output.append(unit)
    }
    return output
  }
}

/// What the steps of a normalizer remember.
struct NormalizerState: Sendable, Equatable {
  struct Held: Sendable, Equatable {
    var units: [TextUnit] = []
    var count = 0
    var end: Int64 = 0
    var isStarted = false
  }

  /// One for each step.
  var held: [Held]

  init(_ steps: Int) { held = [Held](repeating: Held(), count: steps) }
}

extension TextUnit {
  /// The scalars of `bytes`, which stand in the input from `start` on. Bytes that are not UTF-8 become
  /// U+FFFD, one for each maximal part of a scalar, or pass as they are.
  static func reading(_ bytes: ArraySlice<UInt8>, from start: Int64, replacingInvalid: Bool) -> [TextUnit] {
    let text = Array(bytes)
    var units: [TextUnit] = []
    units.reserveCapacity(text.count)
    var place = 0
    while place < text.count {
      let step = readScalar(text, place)
      let end = start + Int64(place + step.length)
      if step.value != ScalarStep.invalid {
        units.append(TextUnit(value: step.value, end: end))
      } else if replacingInvalid {
        units.append(TextUnit(value: ScalarStep.replacement, end: end))
      } else {
        for index in 0..<step.length {
          units.append(.invalidByte(text[place + index], end: start + Int64(place + index + 1)))
        }
      }
      place += step.length
    }
    return units
  }
}
