import MeanderErrors

/// A reader of protocol buffers' wire format: fields in the order in which they stand, every length checked.
struct Protobuf {
  enum Value {
    case varint(UInt64)
    /// Four bytes, as the bits of a float.
    case fixed32(UInt32)
    case fixed64(UInt64)
    case bytes(ArraySlice<UInt8>)
  }

  private var rest: ArraySlice<UInt8>
  private let place: String

  /// - Parameter place: the file, for messages.
  init(_ bytes: ArraySlice<UInt8>, at place: String) {
    rest = bytes
    self.place = place
  }

  private var damaged: MeanderError {
    MeanderError(
      .badData, "this is no sentencepiece model, or a damaged one", at: "\(place), byte \(rest.startIndex)",
      remedy: "Fetch the tokenizer again.")
  }

  /// The next field, or nil at the end.
  mutating func next() throws -> (field: Int, value: Value)? {
    guard !rest.isEmpty else { return nil }
    let tag = try varint()
    guard tag >> 3 > 0, let field = Int(exactly: tag >> 3) else { throw damaged }
    switch tag & 7 {
    case 0: return (field, .varint(try varint()))
    case 1: return (field, .fixed64(try number(8)))
    case 2:
      let count = try varint()
      guard count <= UInt64(rest.count) else { throw damaged }
      return (field, .bytes(take(Int(count))))
    case 5: return (field, .fixed32(UInt32(truncatingIfNeeded: try number(4))))
    default: throw damaged
    }
  }

  private mutating func take(_ count: Int) -> ArraySlice<UInt8> {
    defer { rest = rest.dropFirst(count) }
    return rest.prefix(count)
  }

  private mutating func number(_ count: Int) throws -> UInt64 {
    guard rest.count >= count else { throw damaged }
    return take(count).reversed().reduce(0) { $0 << 8 | UInt64($1) }
  }

  private mutating func varint() throws -> UInt64 {
    var value: UInt64 = 0
    for shift in stride(from: UInt64(0), to: 70, by: 7) {
      guard let byte = rest.first else { throw damaged }
      rest = rest.dropFirst()
      value |= UInt64(byte & 0x7F) << shift
      if byte & 0x80 == 0 { return value }
    }
    throw damaged
  }
}
