/// Writes JSON as one line of UTF-8: what a program downstream reads.
///
/// `MeanderFiles.JSON` holds a document; this writes rows at the speed of a stream, with numbers of a set
/// precision.
struct JSONText {
  private(set) var bytes: [UInt8] = []
  private var needsComma = false

  static func object(_ body: (inout JSONText) -> Void) -> [UInt8] {
    var text = JSONText()
    text.nested("{", "}", body)
    return text.bytes
  }

  static func array(_ body: (inout JSONText) -> Void) -> [UInt8] {
    var text = JSONText()
    text.nested("[", "]", body)
    return text.bytes
  }

  mutating func field(_ name: String, _ value: some BinaryInteger) { field(name) { $0.raw(String(value)) } }
  mutating func field(_ name: String, _ value: Bool) { field(name) { $0.raw(value ? "true" : "false") } }
  mutating func field(_ name: String, _ value: String) { field(name) { $0.string(value.utf8) } }
  mutating func field(_ name: String, _ value: Double, places: Int) {
    field(name) { $0.raw(value.isFinite ? decimal(value, places: places) : "null") }
  }

  /// Text as it was read; what is not UTF-8 becomes U+FFFD.
  mutating func field(_ name: String, text: [UInt8]) {
    field(name) { $0.string(String(decoding: text, as: UTF8.self).utf8) }
  }

  mutating func object(_ name: String, _ body: (inout JSONText) -> Void) { field(name) { $0.nested("{", "}", body) } }
  mutating func array(_ name: String, _ body: (inout JSONText) -> Void) { field(name) { $0.nested("[", "]", body) } }

  mutating func element(_ value: some BinaryInteger) { element { $0.raw(String(value)) } }
  mutating func element(_ value: Double, places: Int) {
    element { $0.raw(value.isFinite ? decimal(value, places: places) : "null") }
  }
  mutating func elementObject(_ body: (inout JSONText) -> Void) { element { $0.nested("{", "}", body) } }
  mutating func element(string value: String) { element { $0.string(value.utf8) } }

  private mutating func element(_ body: (inout JSONText) -> Void) {
    if needsComma { raw(", ") }
    body(&self)
    needsComma = true
  }

  private mutating func field(_ name: String, _ body: (inout JSONText) -> Void) {
    element { text in
      text.string(name.utf8)
      text.raw(": ")
      body(&text)
    }
  }

  private mutating func nested(_ open: String, _ close: String, _ body: (inout JSONText) -> Void) {
    raw(open)
    needsComma = false
    body(&self)
    raw(close)
    needsComma = true
  }

  private mutating func raw(_ text: String) { bytes += text.utf8 }

  private mutating func string(_ text: some Sequence<UInt8>) {
    bytes.append(UInt8(ascii: "\""))
    for byte in text {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): bytes += [UInt8(ascii: "\\"), byte]
      case UInt8(ascii: "\n"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "n")]
      case UInt8(ascii: "\t"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "t")]
      case UInt8(ascii: "\r"): bytes += [UInt8(ascii: "\\"), UInt8(ascii: "r")]
      case 0..<0x20, 0x7F: bytes += ("\\u00" + (byte < 16 ? "0" : "") + String(byte, radix: 16)).utf8
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\""))
  }
}
