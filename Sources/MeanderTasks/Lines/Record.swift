import MeanderErrors

/// Writes the small records that a stream keeps in its snapshot: 64-bit little-endian words and byte strings.
package struct RecordWriter {
  package private(set) var bytes: [UInt8] = []

  package init() {}

  package mutating func put(_ value: UInt64) {
    for shift in stride(from: 0, to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: value >> UInt64(shift))) }
  }

  package mutating func put(_ value: Int64) { put(UInt64(bitPattern: value)) }
  package mutating func put(_ value: Double) { put(value.bitPattern) }
  package mutating func put(_ value: Bool) { put(UInt64(value ? 1 : 0)) }

  package mutating func put(_ string: some Collection<UInt8>) {
    put(UInt64(string.count))
    bytes += string
  }
}

/// Reads what `RecordWriter` wrote; anything else is `badData`.
package struct RecordReader {
  private let bytes: [UInt8]
  private let name: String
  private var next = 0

  package init(_ bytes: [UInt8], name: String) {
    self.bytes = bytes
    self.name = name
  }

  package mutating func integer() throws -> UInt64 {
    guard bytes.count - next >= 8 else { throw damaged() }
    var value: UInt64 = 0
    for index in 0..<8 { value |= UInt64(bytes[next + index]) << UInt64(8 * index) }
    next += 8
    return value
  }

  package mutating func signed() throws -> Int64 { Int64(bitPattern: try integer()) }
  package mutating func real() throws -> Double { Double(bitPattern: try integer()) }
  package mutating func flag() throws -> Bool { try integer() != 0 }

  /// A number in 0...`bound`.
  package mutating func count(atMost bound: Int) throws -> Int {
    guard let value = Int(exactly: try integer()), value <= bound else { throw damaged() }
    return value
  }

  package mutating func string(atMost bound: Int) throws -> [UInt8] {
    let count = try count(atMost: bound)
    guard bytes.count - next >= count else { throw damaged() }
    defer { next += count }
    return Array(bytes[next..<next + count])
  }

  package func finish() throws {
    guard next == bytes.count else { throw damaged() }
  }

  package func damaged() -> MeanderError {
    MeanderError(
      .badData, "the stream's record in the snapshot is damaged", at: "\(name), byte \(next)",
      remedy: "Start anew without --resume.")
  }
}
