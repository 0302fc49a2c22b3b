/// The last bytes of a stream, in memory of one size.
package struct TextRing: Sendable {
  private var bytes: [UInt8] = []
  private var start = 0
  package let capacity: Int

  package init(capacity: Int) { self.capacity = max(1, capacity) }

  package mutating func append(_ more: some Collection<UInt8>) {
    for byte in more.suffix(capacity) {
      if bytes.count < capacity {
        bytes.append(byte)
      } else {
        bytes[start] = byte
        start = (start + 1) % capacity
      }
    }
  }

  /// What is kept, oldest first, from the first whole character on.
  package var text: [UInt8] {
    let whole = Array(bytes[start...] + bytes[..<start])
    guard bytes.count == capacity else { return whole }
    return Array(whole.drop { $0 & 0xC0 == 0x80 })
  }
}
