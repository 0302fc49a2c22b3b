import MeanderErrors

/// The replacement table of a sentencepiece model: a double-array trie (darts-clone's layout) over what is
/// replaced, then the replacements, each ended by a zero byte.
struct CharacterMap: Sendable {
  private let trie: [UInt32]
  private let replacements: [UInt8]

  /// No key is longer; a trie that runs in circles is left here.
  private static let longestKey = 64
  /// In bytes; the longest published one takes 33.
  private static let longestReplacement = 256

  init(_ bytes: ArraySlice<UInt8>, at place: String) throws {
    let blob = Array(bytes)
    guard blob.count >= 4 else { throw Self.damaged(place) }
    func number(_ index: Int) -> UInt32 {
      UInt32(blob[index]) | UInt32(blob[index + 1]) << 8 | UInt32(blob[index + 2]) << 16 | UInt32(blob[index + 3]) << 24
    }
    let size = Int(number(0))
    guard size % 4 == 0, size > 0, size <= blob.count - 4 else { throw Self.damaged(place) }
    trie = (0..<size / 4).map { number(4 + 4 * $0) }
    replacements = Array(blob[(4 + size)...])
  }

  private static func damaged(_ place: String) -> MeanderError {
    MeanderError(.badData, "the precompiled character map is damaged", at: place, remedy: "Fetch the tokenizer again.")
  }

  private static func offset(_ unit: UInt32) -> Int { Int((unit >> 10) << ((unit & 0x200) >> 6)) }

  func push(_ input: [TextUnit], _ atEnd: Bool, _ held: inout NormalizerState.Held) -> [TextUnit] {
    let units = held.units + input
    held.units = []
    var output: [TextUnit] = []
    output.reserveCapacity(units.count)
    var place = 0
    while place < units.count {
      let (found, isOpen) = longest(units, from: place)
      if isOpen && !atEnd {
        held.units = Array(units[place...])
        break
      }
      if let found {
        let end = units[found.end - 1].end
        output += found.scalars.map { TextUnit(value: $0, end: end) }
        place = found.end
      } else {
        output.append(units[place])
        place += 1
      }
    }
    return output
  }

  private func longest(_ units: [TextUnit], from start: Int) -> (found: (end: Int, scalars: [UInt32])?, isOpen: Bool) {
    guard let root = trie.first else { return (nil, false) }
    var node = Self.offset(root)
    var best: (end: Int, value: Int)?
    var bytes: [UInt8] = []
    var place = start
    search: while place < units.count && place - start < Self.longestKey {
      bytes.removeAll(keepingCapacity: true)
      units[place].write(to: &bytes)
      for byte in bytes {
        node ^= Int(byte)
        guard node < trie.count, trie[node] & 0x8000_00FF == UInt32(byte) else { break search }
        let unit = trie[node]
        node ^= Self.offset(unit)
        guard node < trie.count else { break search }
        if unit & 0x100 != 0 { best = (place + 1, Int(trie[node] & 0x7FFF_FFFF)) }
      }
      place += 1
    }
    let isOpen = place == units.count && place - start < Self.longestKey && hasChildren(node)
    guard let best, best.value < replacements.count else { return (nil, isOpen) }
    let bound = min(best.value + Self.longestReplacement, replacements.count)
    let end = replacements[best.value..<bound].firstIndex(of: 0) ?? bound
    let scalars = TextUnit.reading(replacements[best.value..<end], from: 0, replacingInvalid: true)
    return ((best.end, scalars.map(\.value)), isOpen)
  }

  private func hasChildren(_ node: Int) -> Bool {
    (1...255).contains { byte in (node ^ byte) < trie.count && trie[node ^ byte] & 0x8000_00FF == UInt32(byte) }
  }
}
