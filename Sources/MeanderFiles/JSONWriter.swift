extension JSON {
  /// This value as compact, strict JSON in ASCII and UTF-8: `parse` of it gives this value again. What JSON
  /// has no word for is written as transformers 5 does, `{"__float__": "Infinity"}`, and read back by
  /// `double`.
  package func write() -> [UInt8] {
    var output: [UInt8] = []
    write(to: &output)
    return output
  }

  private func write(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .number(.integer(let value)): output.append(contentsOf: value.description.utf8)
    case .number(.double(let value)): Self.write(value, to: &output)
    case .string(let text): Self.write(text, to: &output)
    case .array(let values):
      output.append(UInt8(ascii: "["))
      for (index, value) in values.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        value.write(to: &output)
      }
      output.append(UInt8(ascii: "]"))
    case .object(let object):
      output.append(UInt8(ascii: "{"))
      for (index, member) in object.members.enumerated() {
        if index > 0 { output.append(UInt8(ascii: ",")) }
        Self.write(member.key, to: &output)
        output.append(UInt8(ascii: ":"))
        member.value.write(to: &output)
      }
      output.append(UInt8(ascii: "}"))
    }
  }

  private static func write(_ value: Double, to output: inout [UInt8]) {
    if value.isFinite {
      output.append(contentsOf: value.description.utf8)
    } else {
      let word = value.isNaN ? "NaN" : value < 0 ? "-Infinity" : "Infinity"
      output.append(contentsOf: "{\"__float__\":\"\(word)\"}".utf8)
    }
  }

  private static func write(_ text: String, to output: inout [UInt8]) {
    let digits = Array("0123456789abcdef".utf8)
    output.append(UInt8(ascii: "\""))
    for byte in text.utf8 {
      switch byte {
      case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
      case 0x0A: output.append(contentsOf: "\\n".utf8)
      case 0x0D: output.append(contentsOf: "\\r".utf8)
      case 0x09: output.append(contentsOf: "\\t".utf8)
      case 0..<0x20, 0x7F:
        output.append(contentsOf: "\\u00".utf8)
        output.append(contentsOf: [digits[Int(byte >> 4)], digits[Int(byte & 15)]])
      default: output.append(byte)
      }
    }
    output.append(UInt8(ascii: "\""))
  }
}
