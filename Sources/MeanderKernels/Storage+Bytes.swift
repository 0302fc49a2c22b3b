import Glibc

extension Storage {
  /// Copies all of `other`, which must be as large.
  package func copy(from other: Storage) {
    precondition(other.byteCount == byteCount, "a storage of \(byteCount) bytes cannot take \(other.byteCount)")
    // Safe: both blocks hold `byteCount` bytes, and two storages never overlap.
    memcpy(base, other.base, byteCount)
  }

  /// Makes the bytes in `range` zero.
  package func clear(_ range: Range<Int>) {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) is outside \(byteCount) bytes")
    // Safe: the range was just held against the block.
    memset(base + range.lowerBound, 0, range.count)
  }

  /// A copy of the bytes in `range`.
  package func bytes(_ range: Range<Int>) -> [UInt8] {
    precondition(range.lowerBound >= 0 && range.upperBound <= byteCount, "\(range) is outside \(byteCount) bytes")
    // Safe: the range was just held against the block.
    return [UInt8](UnsafeRawBufferPointer(start: base + range.lowerBound, count: range.count))
  }

  /// Writes `bytes` from byte `offset` on.
  package func setBytes(at offset: Int, _ bytes: [UInt8]) {
    precondition(offset >= 0 && offset + bytes.count <= byteCount, "\(bytes.count) bytes do not fit at \(offset)")
    // Safe: the range was just held against the block.
    bytes.withUnsafeBytes { if let source = $0.baseAddress { memcpy(base + offset, source, $0.count) } }
  }
}

extension Storage {
  /// A storage of its own with the same bytes.
  package func duplicate() -> Storage {
    let copy = Storage(byteCount: byteCount)
    copy.copy(from: self)
    return copy
  }
}
