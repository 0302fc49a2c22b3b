/// GPT-2's spelling of bytes: those that print stand for themselves, the others for the scalars from U+0100
/// on.
enum ByteLevelAlphabet {
  /// The scalar of each byte.
  static let scalars: [UInt32] = {
    var next: UInt32 = 0x100
    return (0..<256).map { byte in
      switch byte {
      case 0x21...0x7E, 0xA1...0xAC, 0xAE...0xFF: return UInt32(byte)
      default:
        defer { next += 1 }
        return next
      }
    }
  }()

  private static let bytes: [UInt8?] = {
    var bytes = [UInt8?](repeating: nil, count: 0x144)
    for (byte, scalar) in scalars.enumerated() { bytes[Int(scalar)] = UInt8(byte) }
    return bytes
  }()

  /// The id of each byte's piece; -1 where the vocabulary lacks it.
  static func ids(in pieces: PieceTable) -> [Int32] {
    scalars.map { scalar in
      var spelled: [UInt8] = []
      appendScalar(scalar, to: &spelled)
      return pieces.id(of: spelled) ?? -1
    }
  }

  /// The bytes that `piece` spells; nil if a scalar of it stands for none.
  static func bytes(of piece: some Collection<UInt8>) -> [UInt8]? {
    let text = Array(piece)
    var result: [UInt8] = []
    result.reserveCapacity(text.count)
    var place = 0
    while place < text.count {
      let step = readScalar(text, place)
      guard step.value < 0x144, let byte = bytes[Int(step.value)] else { return nil }
      result.append(byte)
      place += step.length
    }
    return result
  }
}
