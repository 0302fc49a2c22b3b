/// One step through bytes that ought to be UTF-8.
struct ScalarStep {
  /// The scalar's value, or `ScalarStep.invalid`.
  var value: UInt32
  /// Bytes to step over: a scalar's, or those of a maximal part of one that does not go on (Unicode 3.9, as
  /// `U+FFFD` is put).
  var length: Int
  /// The bytes end inside what could yet become a scalar.
  var isOpen = false

  static let invalid: UInt32 = 0x11_0000
  static let replacement: UInt32 = 0xFFFD
}

/// Reads the scalar at `start`, which lies inside `text`.
@inline(__always)
func readScalar(_ text: [UInt8], _ start: Int) -> ScalarStep {
  let lead = text[start]
  if lead < 0x80 { return ScalarStep(value: UInt32(lead), length: 1) }
  return readLongScalar(text, start)
}

private func readLongScalar(_ text: [UInt8], _ start: Int) -> ScalarStep {
  let lead = text[start]
  var range: ClosedRange<UInt8> = 0x80...0xBF
  let count: Int
  var value: UInt32
  switch lead {
  case 0xC2...0xDF: (count, value) = (1, UInt32(lead & 0x1F))
  case 0xE0...0xEF:
    (count, value) = (2, UInt32(lead & 0x0F))
    if lead == 0xE0 { range = 0xA0...0xBF }
    if lead == 0xED { range = 0x80...0x9F }
  case 0xF0...0xF4:
    (count, value) = (3, UInt32(lead & 0x07))
    if lead == 0xF0 { range = 0x90...0xBF }
    if lead == 0xF4 { range = 0x80...0x8F }
  default: return ScalarStep(value: ScalarStep.invalid, length: 1)
  }
  for index in 1...count {
    guard start + index < text.count else { return ScalarStep(value: ScalarStep.invalid, length: index, isOpen: true) }
    let byte = text[start + index]
    guard range.contains(byte) else { return ScalarStep(value: ScalarStep.invalid, length: index) }
    value = value << 6 | UInt32(byte & 0x3F)
    range = 0x80...0xBF
  }
  return ScalarStep(value: value, length: count + 1)
}

/// How many bytes at the end of `text` could be the beginning of a scalar whose rest is still to come: 0 to
/// 3.
func openTail(_ text: [UInt8]) -> Int {
  for back in 1...3 where back <= text.count {
    let byte = text[text.count - back]
    if byte & 0xC0 == 0x80 { continue }
    return readScalar(text, text.count - back).isOpen ? back : 0
  }
  return 0
}

/// Appends the UTF-8 form of `value`, which must be a scalar's.
@inline(__always)
func appendScalar(_ value: UInt32, to bytes: inout [UInt8]) {
  if value < 0x80 {
    bytes.append(UInt8(truncatingIfNeeded: value))
  } else if value < 0x800 {
    bytes.append(UInt8(truncatingIfNeeded: 0xC0 | value >> 6))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value & 0x3F))
  } else if value < 0x1_0000 {
    bytes.append(UInt8(truncatingIfNeeded: 0xE0 | value >> 12))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value >> 6 & 0x3F))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value & 0x3F))
  } else {
    bytes.append(UInt8(truncatingIfNeeded: 0xF0 | value >> 18))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value >> 12 & 0x3F))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value >> 6 & 0x3F))
    bytes.append(UInt8(truncatingIfNeeded: 0x80 | value & 0x3F))
  }
}
