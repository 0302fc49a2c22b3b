/// The pairs of scalars that stand side by side in some piece of a vocabulary.
///
/// A vocabulary that merges whole texts, without cutting them into words first, can still be cut where two
/// scalars meet that no piece holds side by side: no token could span that place. (Most often that is before
/// a space.)
struct Neighbors: Sendable {
  private let pairs: PairTable

  init(_ pieces: some Sequence<ArraySlice<UInt8>>) {
    var table = PairTable(capacity: 1 << 12)
    for piece in pieces {
      let bytes = [UInt8](piece)
      var place = 0
      var previous: UInt32?
      while place < bytes.count {
        let step = readScalar(bytes, place)
        if let previous { table.insert(PairTable.key(previous, step.value), 1) }
        previous = step.value
        place += step.length
      }
    }
    pairs = table
  }

  /// The end of the stretch that starts at `start`: the first place that no piece spans; nil while the text
  /// leaves it open. Like a word, a longer stretch than `WordScanner.longestWord` is cut there.
  func end(_ text: [UInt8], from start: Int, atEnd: Bool) -> Int? {
    let bound = wordBound(text, from: start)
    let first = readScalar(text, start)
    var place = start + first.length
    var previous = first.value
    while place < bound.limit {
      let step = readScalar(text, place)
      if pairs[PairTable.key(previous, step.value)] == nil { return place }
      previous = step.value
      place += step.length
    }
    return atEnd || bound.isCut ? min(place, bound.limit) : nil
  }
}
