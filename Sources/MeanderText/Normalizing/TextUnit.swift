/// One scalar on its way through the normalizer, with where it ends in the input.
struct TextUnit: Sendable, Equatable {
  /// A scalar's value, or `ScalarStep.invalid` plus a byte that is not UTF-8 and passes as it is.
  var value: UInt32
  /// How much of the input is spoken for, counted in bytes from the start of the stream.
  var end: Int64

  static func invalidByte(_ byte: UInt8, end: Int64) -> TextUnit {
    TextUnit(value: ScalarStep.invalid + UInt32(byte), end: end)
  }

  /// Bytes of its UTF-8 form.
  var length: Int {
    value < 0x80 || value >= ScalarStep.invalid ? 1 : value < 0x800 ? 2 : value < 0x1_0000 ? 3 : 4
  }

  func write(to bytes: inout [UInt8]) {
    if value >= ScalarStep.invalid {
      bytes.append(UInt8(truncatingIfNeeded: value - ScalarStep.invalid))
    } else {
      appendScalar(value, to: &bytes)
    }
  }
}

/// Normalized text that waits to be cut, with the way back from its places to those of the input.
struct MappedText: Sendable, Equatable {
  /// From `index` on, up to the next mark.
  struct Mark: Sendable, Equatable {
    var index: Int
    var offset: Int64
    /// The text there is the input's own: each byte is one of the input. Otherwise all of it ends at
    /// `offset`.
    var isVerbatim: Bool
  }

  private(set) var bytes: [UInt8] = []
  private(set) var marks: [Mark] = []
  /// How much of the input is spoken for by everything appended so far.
  var reached: Int64 = 0

  var isEmpty: Bool { bytes.isEmpty }

  /// Appends bytes that stand in the input as they are, from `start` on.
  mutating func append(_ verbatim: ArraySlice<UInt8>, from start: Int64) {
    guard !verbatim.isEmpty else { return }
    if !(marks.last?.isVerbatim ?? false) || reached != start {
      marks.append(Mark(index: bytes.count, offset: start, isVerbatim: true))
    }
    bytes.append(contentsOf: verbatim)
    reached = start + Int64(verbatim.count)
  }

  /// Appends a scalar that ends at `unit.end` in the input.
  mutating func append(_ unit: TextUnit) {
    let start = unit.end - Int64(unit.length)
    // One byte has no places inside, so that it can count as verbatim: marks then do not depend on the way it
    // came.
    let isVerbatim = start == reached || unit.length == 1 && start >= 0
    let isContinued = isVerbatim && start == reached && marks.last?.isVerbatim ?? false
    if !isContinued {
      marks.append(Mark(index: bytes.count, offset: isVerbatim ? start : unit.end, isVerbatim: isVerbatim))
    }
    unit.write(to: &bytes)
    reached = unit.end
  }

  /// Appends a stretch of `other`, with where it stands in the input; `cursor` as in `offset`.
  mutating func append(_ other: MappedText, _ range: Range<Int>, _ cursor: inout Int) {
    var place = range.lowerBound
    while place < range.upperBound {
      _ = other.offset(place + 1, &cursor)
      let mark = other.marks[cursor]
      let next = cursor + 1 < other.marks.count ? other.marks[cursor + 1].index : other.bytes.count
      let end = min(next, range.upperBound)
      if mark.isVerbatim {
        append(other.bytes[place..<end], from: mark.offset + Int64(place - mark.index))
      } else {
        marks.append(Mark(index: bytes.count, offset: mark.offset, isVerbatim: false))
        bytes.append(contentsOf: other.bytes[place..<end])
        reached = mark.offset
      }
      place = end
    }
  }

  /// The scalars of a stretch, with where they end in the input; `cursor` as in `offset`.
  func units(_ range: Range<Int>, _ cursor: inout Int) -> [TextUnit] {
    TextUnit.reading(bytes[range], from: Int64(range.lowerBound), replacingInvalid: false).map { unit in
      TextUnit(value: unit.value, end: offset(Int(unit.end), &cursor))
    }
  }

  /// Where in the input the text's `place` is; `cursor` is the mark it was last found at. Places only grow.
  @inline(__always)
  func offset(_ place: Int, _ cursor: inout Int) -> Int64 {
    while cursor + 1 < marks.count, marks[cursor + 1].index < place { cursor += 1 }
    let mark = marks[cursor]
    return mark.isVerbatim ? mark.offset + Int64(place - mark.index) : mark.offset
  }

  /// Forgets what lies before `count`.
  mutating func removeFirst(_ count: Int) {
    guard count > 0 else { return }
    if count == bytes.count {
      bytes.removeAll(keepingCapacity: true)
      marks.removeAll(keepingCapacity: true)
      return
    }
    var cursor = 0
    let start = offset(count, &cursor)
    while cursor + 1 < marks.count, marks[cursor + 1].index <= count { cursor += 1 }
    let isAtMark = marks[cursor].index == count
    bytes.removeFirst(count)
    marks.removeFirst(cursor)
    if !isAtMark && marks[0].isVerbatim { marks[0].offset = start }
    for index in marks.indices { marks[index].index = max(0, marks[index].index - count) }
  }

  init() {}

  /// For reading a carry back; nil if the marks do not fit the bytes.
  init?(bytes: [UInt8], marks: [Mark], reached: Int64) {
    guard bytes.isEmpty == marks.isEmpty, marks.first?.index ?? 0 == 0 else { return nil }
    for (mark, next) in zip(marks, marks.dropFirst()) where mark.index >= next.index { return nil }
    guard marks.last.map({ $0.index < bytes.count }) ?? true else { return nil }
    self.bytes = bytes
    self.marks = marks
    self.reached = reached
  }
}
