import Synchronization

/// Rooms that encoding reuses from word to word.
struct WordScratch: Sendable {
  var merging = MergeModel.Scratch()
  var searching = UnigramModel.Scratch()
}

extension Encoding {
  /// Cuts `text` into words, encodes those that are settled, and returns the end of the last of them.
  func encodeWords(
    of text: MappedText, atEnd: Bool, isUnknownOpen: inout Bool, _ cache: borrowing Mutex<WordCache>,
    _ scratch: inout WordScratch, into pieces: inout [TokenPiece]
  ) -> Int {
    switch model {
    case .bytes: return encodeBytes(text, &pieces)
    case .greedy(let trie): return encodeGreedily(trie, text, atEnd, &pieces)
    case .byteLevel(let model):
      guard case .words(let scanner) = cutter else { return text.bytes.count }
      let done = cache.withLockIfAvailable { cache in
        encodeByteLevel(model, scanner, text, atEnd, &cache, &scratch.merging, &pieces)
      }
      if let done { return done }
      var none = WordCache(isKept: false)
      return encodeByteLevel(model, scanner, text, atEnd, &none, &scratch.merging, &pieces)
    case .characters, .unigram:
      return encodeCharacters(text, atEnd, &isUnknownOpen, &scratch, &pieces)
    }
  }

  private func encodeBytes(_ text: MappedText, _ pieces: inout [TokenPiece]) -> Int {
    var cursor = 0
    for (place, byte) in text.bytes.enumerated() {
      pieces.append(TokenPiece(id: Int32(byte), end: text.offset(place + 1, &cursor)))
    }
    return text.bytes.count
  }

  private func encodeGreedily(
    _ trie: ByteTrie, _ text: MappedText, _ atEnd: Bool, _ pieces: inout [TokenPiece]
  ) -> Int {
    let bytes = text.bytes
    var place = 0
    var cursor = 0
    while place < bytes.count {
      switch trie.longest(in: bytes, from: place, atEnd: atEnd) {
      case .open: return place
      case .none: place += 1
      case .found(let id, let end):
        place = end
        pieces.append(TokenPiece(id: id, end: text.offset(end, &cursor)))
      }
    }
    return place
  }

  private func encodeByteLevel(
    _ model: ByteLevelModel, _ scanner: WordScanner, _ text: MappedText, _ atEnd: Bool, _ cache: inout WordCache,
    _ scratch: inout MergeModel.Scratch, _ pieces: inout [TokenPiece]
  ) -> Int {
    let bytes = text.bytes
    var place = 0
    var cursor = 0
    while place < bytes.count, let end = scanner.end(bytes, from: place, atEnd: atEnd) {
      let start = place
      place = end
      let key = WordCache.Key(bytes, start..<end)
      if let key {
        let isKnown = cache.withSymbols(of: key) { id, length in
          pieces.append(TokenPiece(id: id, end: text.offset(start + length, &cursor)))
        }
        if isKnown { continue }
      }
      model.encode(bytes, start..<end, &scratch)
      if let key { cache.store(key, scratch.symbols) }
      var reached = start
      for symbol in scratch.symbols {
        reached += Int(symbol.length)
        pieces.append(TokenPiece(id: symbol.id, end: text.offset(reached, &cursor)))
      }
    }
    return place
  }

  private func encodeCharacters(
    _ text: MappedText, _ atEnd: Bool, _ isUnknownOpen: inout Bool, _ scratch: inout WordScratch,
    _ pieces: inout [TokenPiece]
  ) -> Int {
    let bytes = text.bytes
    var place = 0
    var cursor = 0
    while place < bytes.count, let end = wordEnd(bytes, from: place, atEnd: atEnd) {
      let unknown: Int32?
      if case .unigram(let model, let fallback, let fuses) = model {
        model.encode(bytes, place..<end, &scratch.searching, into: &scratch.merging.symbols)
        fallback?.replace(model.unknown, in: &scratch.merging.symbols, of: bytes, from: place)
        unknown = fuses && fallback == nil ? model.unknown : nil
      } else if case .characters(let model) = model {
        model.encode(bytes, place..<end, &scratch.merging)
        unknown = model.fusesUnknown ? model.unknown : nil
      } else {
        return bytes.count
      }
      for symbol in scratch.merging.symbols {
        place += Int(symbol.length)
        let isUnknown = symbol.id == unknown
        if !(isUnknown && isUnknownOpen) {
          pieces.append(TokenPiece(id: symbol.id, end: text.offset(place, &cursor)))
        }
        isUnknownOpen = isUnknown
      }
      if case .marks = cutter { isUnknownOpen = false }
      place = end
    }
    return place
  }

  private func wordEnd(_ text: [UInt8], from start: Int, atEnd: Bool) -> Int? {
    switch cutter {
    case .words(let scanner): scanner.end(text, from: start, atEnd: atEnd)
    case .neighbors(let neighbors): neighbors.end(text, from: start, atEnd: atEnd)
    case .marks: markEnd(text, from: start, atEnd: atEnd)
    case .whole: text.count
    }
  }

  /// The place of the next `▁` behind the first scalar: E2 96 81.
  private func markEnd(_ text: [UInt8], from start: Int, atEnd: Bool) -> Int? {
    let bound = wordBound(text, from: start)
    var place = start + 1
    while place < bound.limit {
      if text[place] == 0xE2, place + 2 < bound.limit, text[place + 1] == 0x96, text[place + 2] == 0x81 { return place }
      place += 1
    }
    return atEnd || bound.isCut ? bound.limit : nil
  }
}

extension ByteFallback {
  /// Replaces every symbol that is `unknown` by the tokens of its bytes.
  func replace(_ unknown: Int32, in symbols: inout [MergeModel.Symbol], of text: [UInt8], from start: Int) {
    guard symbols.contains(where: { $0.id == unknown }) else { return }
    var place = start
    symbols = symbols.flatMap { symbol in
      let range = place..<place + Int(symbol.length)
      place = range.upperBound
      guard symbol.id == unknown else { return [symbol] }
      return text[range].map { MergeModel.Symbol(id: ids[Int($0)], length: 1) }
    }
  }
}
