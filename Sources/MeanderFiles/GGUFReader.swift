import MeanderErrors

/// Walks through the header of a GGUF file; whatever would pass the end is an error that says what was looked for.
struct GGUFReader {
  private let bytes: FileBytes
  private(set) var place: Int

  init(_ bytes: FileBytes, at place: Int = 0) {
    self.bytes = bytes
    self.place = place
  }

  var path: String { bytes.path }
  private var left: Int { bytes.count - place }

  func damaged(_ what: String, at place: Int? = nil) -> MeanderError {
    MeanderError(
      .badData, what, at: "\(path), byte \(place ?? self.place)",
      remedy: "The file is cut short, damaged, or no GGUF file; fetch it again.")
  }

  mutating func number<Number: FixedWidthInteger & BitwiseCopyable>(
    _ type: Number.Type, _ what: @autoclosure () -> String
  ) throws -> Number {
    guard let value = bytes.withBytes(nil, { $0.number(place, as: Number.self) }) else {
      throw damaged("the file ends where \(what()) should stand")
    }
    place += MemoryLayout<Number>.size
    return value
  }

  /// A count of things that take at least `smallestItem` bytes each of what is left.
  mutating func count(smallestItem: Int, _ what: @autoclosure () -> String) throws -> Int {
    let start = place
    let number = try number(UInt64.self, "the number of \(what())")
    guard number <= UInt64(left / smallestItem) else {
      throw damaged("\(number) \(what()) are claimed, for which \(left) bytes are too few", at: start)
    }
    return Int(number)
  }

  /// The bytes of a text, whose length stands before it.
  mutating func textBytes(_ what: @autoclosure () -> String) throws -> Range<Int> {
    let count = try count(smallestItem: 1, "bytes of \(what())")
    defer { place += count }
    return place..<place + count
  }

  mutating func text(_ what: @autoclosure () -> String) throws -> String {
    let start = place
    let range = try textBytes(what())
    guard let text = bytes.withBytes(nil, { $0.text(range) }) else { throw damaged("\(what()) is not UTF-8", at: start) }
    return text
  }

  /// Passes over `count` bytes, which must be there.
  mutating func skip(_ count: Int, _ what: @autoclosure () -> String) throws {
    guard count <= left else { throw damaged("the file ends inside of \(what())") }
    place += count
  }
}
