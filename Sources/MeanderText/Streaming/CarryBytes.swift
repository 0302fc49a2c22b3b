import MeanderErrors

/// Writes a carry: little-endian numbers of eight bytes, flags of one, byte strings behind their counts.
struct CarryWriter {
  private(set) var bytes: [UInt8]

  init(version: UInt8) { bytes = [version] }

  mutating func write(_ flag: Bool) { bytes.append(flag ? 1 : 0) }

  mutating func write(_ number: Int64) {
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: number >> Int64(shift))) }
  }

  mutating func write(_ string: [UInt8]) {
    write(Int64(string.count))
    bytes += string
  }

  mutating func write(_ held: NormalizerState.Held) {
    write(Int64(held.units.count))
    for unit in held.units {
      write(Int64(unit.value))
      write(unit.end)
    }
    write(Int64(held.count))
    write(held.end)
    write(held.isStarted)
  }

  mutating func write(_ text: MappedText) {
    write(text.bytes)
    write(text.reached)
    write(Int64(text.marks.count))
    for mark in text.marks {
      write(Int64(mark.index))
      write(mark.offset)
      write(mark.isVerbatim)
    }
  }
}

/// Reads a carry, trusting nothing in it.
struct CarryReader {
  /// Streams are shorter than this, so that no sum of offsets overflows.
  static let longestStream: Int64 = 1 << 62

  private var rest: ArraySlice<UInt8>
  /// No offset lies beyond it.
  var bound: Int64 = 0

  static let damaged = MeanderError(
    .badData, "the tokenizer's carry is damaged", remedy: "Resume from an older snapshot, or start anew.")

  init(_ bytes: [UInt8], version: UInt8) throws {
    guard bytes.first == version else {
      throw MeanderError(
        .badData, "the tokenizer's carry is of another version", remedy: "Resume with the release that wrote it.")
    }
    rest = bytes.dropFirst()
  }

  mutating func finish() throws {
    guard rest.isEmpty else { throw Self.damaged }
  }

  mutating func flag() throws -> Bool {
    guard let byte = rest.popFirst(), byte < 2 else { throw Self.damaged }
    return byte == 1
  }

  mutating func number(in range: ClosedRange<Int64>) throws -> Int64 {
    guard rest.count >= 8 else { throw Self.damaged }
    let value = rest.prefix(8).reversed().reduce(Int64(0)) { $0 << 8 | Int64($1) }
    rest = rest.dropFirst(8)
    guard range.contains(value) else { throw Self.damaged }
    return value
  }

  /// A count of things that take at least `size` bytes each.
  private mutating func count(of size: Int) throws -> Int {
    Int(try number(in: 0...Int64(rest.count / size)))
  }

  mutating func byteString() throws -> [UInt8] {
    let count = try count(of: 1)
    guard count <= rest.count else { throw Self.damaged }
    defer { rest = rest.dropFirst(count) }
    return Array(rest.prefix(count))
  }

  mutating func matcher() throws -> TokenMatcher {
    let previous = try number(in: -1...Int64(ScalarStep.invalid) + 0xFF)
    return TokenMatcher(previous: previous < 0 ? nil : UInt32(previous), swallowsBlanks: try flag())
  }

  mutating func normalizer() throws -> NormalizerState {
    let steps = try count(of: 25)
    var state = NormalizerState(steps)
    for index in 0..<steps { state.held[index] = try held() }
    return state
  }

  private mutating func held() throws -> NormalizerState.Held {
    var held = NormalizerState.Held()
    for _ in 0..<(try count(of: 16)) {
      let value = UInt32(try number(in: 0...Int64(ScalarStep.invalid) + 0xFF))
      guard value >= ScalarStep.invalid || Unicode.Scalar(value) != nil else { throw Self.damaged }
      held.units.append(TextUnit(value: value, end: try number(in: 0...bound)))
    }
    held.count = Int(try number(in: 0...1024))
    held.end = try number(in: 0...bound)
    held.isStarted = try flag()
    return held
  }

  mutating func text() throws -> MappedText {
    let bytes = try byteString()
    let reached = try number(in: 0...bound)
    var marks: [MappedText.Mark] = []
    for _ in 0..<(try count(of: 17)) {
      let index = Int(try number(in: 0...Int64(bytes.count)))
      marks.append(MappedText.Mark(index: index, offset: try number(in: 0...bound), isVerbatim: try flag()))
    }
    guard let text = MappedText(bytes: bytes, marks: marks, reached: reached) else { throw Self.damaged }
    return text
  }
}
