/// Byte strings with their ids, in one block, found again by hashing their bytes.
struct PieceTable: Sendable {
  private var bytes: [UInt8] = []
  /// Where each id's bytes lie in `bytes`; an id that was never given has an empty range.
  private var starts: [Int32]
  private var lengths: [Int32]
  /// Ids by hash: open addressing, at most half full, -1 where free.
  private var places: [Int32]

  /// - Parameter count: one more than the largest id.
  init(count: Int) {
    starts = [Int32](repeating: 0, count: count)
    lengths = [Int32](repeating: -1, count: count)
    let bits = max(4, Int.bitWidth - (max(1, count) * 2 - 1).leadingZeroBitCount)
    places = [Int32](repeating: -1, count: 1 << bits)
  }

  var count: Int { starts.count }

  func holds(_ id: Int32) -> Bool { id >= 0 && Int(id) < lengths.count && lengths[Int(id)] >= 0 }

  /// The bytes of `id`; empty where the id holds nothing.
  subscript(id: Int32) -> ArraySlice<UInt8> {
    guard holds(id) else { return [] }
    let start = Int(starts[Int(id)])
    return bytes[start..<start + Int(lengths[Int(id)])]
  }

  func length(of id: Int32) -> Int { holds(id) ? Int(lengths[Int(id)]) : 0 }

  /// The id of exactly these bytes; where several ids hold them, the one stored last.
  func id(of piece: some Collection<UInt8>) -> Int32? {
    var place = home(piece)
    while places[place] >= 0 {
      if self[places[place]].elementsEqual(piece) { return places[place] }
      place = (place + 1) & (places.count - 1)
    }
    return nil
  }

  /// Gives `id` its bytes. `id` must lie below `count`, and hold nothing yet.
  mutating func insert(_ piece: some Collection<UInt8>, id: Int32) {
    starts[Int(id)] = Int32(truncatingIfNeeded: bytes.count)
    lengths[Int(id)] = Int32(truncatingIfNeeded: piece.count)
    bytes.append(contentsOf: piece)
    var place = home(piece)
    while places[place] >= 0 && !self[places[place]].elementsEqual(piece) { place = (place + 1) & (places.count - 1) }
    places[place] = id
  }

  /// FNV-1a, folded onto the table.
  private func home(_ piece: some Collection<UInt8>) -> Int {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for byte in piece { hash = (hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
    return Int(truncatingIfNeeded: (hash ^ hash >> 32) & UInt64(places.count - 1))
  }
}
