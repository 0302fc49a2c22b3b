import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

private func parse(_ text: String) throws -> JSON {
  try JSON.parse(FileBytes(Array(text.utf8), path: "test.json"))
}

@Suite struct JSONTests {
  @Test(arguments: [
    ("null", JSON.null), ("true", .bool(true)), (" [ ] ", .array([])), ("{}", .object(JSONObject())),
    ("-0", JSON(-0.0)), ("12", JSON(12)), ("-9223372036854775808", JSON(Int.min)),
    ("9223372036854775808", JSON(9_223_372_036_854_775_808.0)), ("1e-05", JSON(1e-05)),
    ("1.5E+3", JSON(1500.0)),
    ("Infinity", JSON(Double.infinity)), ("-Infinity", JSON(-Double.infinity)),
    (#""a\n\"\\\/\b\f\r\t""#, .string("a\n\"\\/\u{8}\u{c}\r\t")),
    (#""\u00e9\ud83d\ude00é😀""#, .string("é😀é😀")),
    (
      #"{"b":1,"a":[2,{"c":null}]}"#, JSON([("b", JSON(1)), ("a", .array([JSON(2), JSON([("c", .null)])]))])
    ),
  ])
  func readsWhatItShould(_ text: String, _ expected: JSON) throws {
    #expect(try parse(text) == expected)
  }

  @Test(arguments: [
    ("", 0), ("tru", 0), ("[1,]", 3), ("[1 2]", 3), ("{\"a\":1,}", 7), ("{\"a\" 1}", 5), ("{a:1}", 1),
    ("01", 0), ("-", 0),
    ("1.", 2), ("1e", 2), ("+1", 0), (".5", 0), ("\"a", 0), ("\"\u{1}\"", 1), (#""\x""#, 1),
    (#""\u12g4""#, 5),
    (#""\ud800""#, 1), (#""\udc00""#, 1), (#""\ud800\u0041""#, 1), ("1 1", 2), ("{\"a\":1,\"a\":2}", 7),
    ("nullx", 4),
    ("\u{FEFF}1", 0),
  ])
  func refusesTheRestAndNamesTheByte(_ text: String, _ byte: Int) {
    let error = #expect(throws: MeanderError.self) { try parse(text) }
    #expect(error?.code == .badData)
    #expect(error?.place == "test.json, byte \(byte)")
  }

  @Test func refusesWhatIsNotUTF8() {
    for bytes: [UInt8] in [
      [0x22, 0xC0, 0x80, 0x22], [0x22, 0xED, 0xA0, 0x80, 0x22], [0x22, 0x5C, 0x6E, 0xFF, 0x22],
    ] {
      #expect(throws: MeanderError.self) { try JSON.parse(FileBytes(bytes, path: "test.json")) }
    }
  }

  @Test func depthIsBounded() throws {
    let deep = String(repeating: "[", count: 128) + String(repeating: "]", count: 128)
    #expect(throws: Never.self) { try parse(deep) }
    #expect(throws: MeanderError.self) { try parse("[\(deep)]") }
    #expect(throws: MeanderError.self) { try parse(String(repeating: "[", count: 1_000_000)) }
  }

  @Test func anObjectKeepsItsOrderAndFindsEveryKey() throws {
    for count in [0, 1, 7, 8, 9, 10, 1000] {
      let keys = (0..<count).map { "k\(($0 * 7919) % 1009)" }
      let text = "{" + keys.enumerated().map { "\"\($1)\":\($0)" }.joined(separator: ",") + "}"
      let object = try #require(try parse(text).object)
      #expect(object.keys == keys)
      #expect(keys.enumerated().allSatisfy { object[$1] == JSON($0) })
      #expect(object["none"] == nil)
      for key in keys.prefix(12) {
        #expect(throws: MeanderError.self) { try parse("{" + text.dropFirst().dropLast() + ",\"\(key)\":0}") }
      }
    }
  }

  /// Precomposed and not: the same for `String`, two tokens for a vocabulary.
  @Test func keysAreTheSameWhenTheirBytesAre() throws {
    for count in [0, 20] {
      let others = (0..<count).map { "\"\($0)\":0," }.joined()
      let object = try #require(try parse("{\(others)\"\u{E9}\":1,\"e\u{301}\":2}").object)
      #expect(object["\u{E9}"] == JSON(1))
      #expect(object["e\u{301}"] == JSON(2))
      #expect(throws: MeanderError.self) { try parse("{\(others)\"\u{E9}\":1,\"\\u00e9\":2}") }
    }
  }

  @Test func writingAndReadingGivesTheSameValue() throws {
    let value = JSON([
      (
        "numbers",
        .array([JSON(1), JSON(-0.0), JSON(5e-308), JSON(1.7976931348623157e308), JSON(0.1), JSON(Int.min)])
      ),
      ("text \"\\\u{0}\u{1f}\u{7f}\n é😀", .string("\r\t")), ("none", .null),
      ("flags", .array([.bool(true), .bool(false)])),
    ])
    #expect(try JSON.parse(FileBytes(value.write(), path: "written")) == value)
    for number in [Double.infinity, -.infinity] {
      #expect(try JSON.parse(FileBytes(JSON(number).write(), path: "written")).double == number)
    }
    #expect(try JSON.parse(FileBytes(JSON(Double.nan).write(), path: "written")).double?.isNaN == true)
  }
}
