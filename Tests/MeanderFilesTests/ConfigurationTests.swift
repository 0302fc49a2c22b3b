import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

private func configuration(_ text: String) throws -> Configuration {
  try Configuration(JSON.parse(FileBytes(Array(text.utf8), path: "config.json")), file: "config.json")
}

@Suite struct ConfigurationTests {
  @Test func everyKindIsReadAndNullIsLeftOut() throws {
    let scalars = #""i":7,"j":8.0,"f":1,"g":1e-5,"b":true,"s":"silu","none":null"#
    var inside = try configuration(
      "{\(scalars)," + #""l":["a","b"],"n":[0,Infinity],"k":3,"o":{"x":1}}"#)
    #expect(try inside.integer("i", in: 1...9) == 7)
    #expect(try inside.integer("j", in: 1...9) == 8)
    #expect(try inside.float("f") == 1)
    #expect(try inside.float("g", in: 0...1) == 1e-5)
    #expect(try inside.bool("b"))
    #expect(try inside.string("s", among: ["silu", "swish"]) == "silu")
    #expect(try inside.strings("l") == ["a", "b"])
    #expect(try inside.floats("n", count: 2, in: 0...(.infinity)) == [0, .infinity])
    #expect(try inside.integers("k", in: 0...9) == [3])
    #expect(try inside.integer("none", 5, in: 0...9) == 5)
    #expect(try inside.optionalString("absent") == nil)
    #expect(!inside.has("none") && inside.has("o"))
    var object = try #require(try inside.object("o"))
    #expect(try object.integer("x", in: 0...1) == 1)
    try object.finish()
    try inside.finish()
  }

  @Test func whatIsWrongNamesItsKey() throws {
    var wrong = try configuration(
      #"{"i":7.5,"r":70,"b":1,"s":"gelu","l":["a",1],"n":[1,2,3],"nan":NaN,"o":[]}"#)
    let attempts: [(String, (inout Configuration) throws -> Void)] = [
      ("i", { _ = try $0.integer("i", in: 0...9) }), ("r", { _ = try $0.integer("r", in: 0...9) }),
      ("b", { _ = try $0.bool("b") }), ("s", { _ = try $0.string("s", among: ["silu"]) }),
      ("l", { _ = try $0.strings("l") }), ("n", { _ = try $0.floats("n", count: 2) }),
      ("nan", { _ = try $0.float("nan") }),
      ("o", { _ = try $0.object("o") }), ("absent", { _ = try $0.string("absent") }),
    ]
    for (key, attempt) in attempts {
      let error = #expect(throws: MeanderError.self) { try attempt(&wrong) }
      #expect(error?.code == .badData && error?.place == "config.json")
      #expect(error?.what.hasPrefix("'\(key)' ") == true)
    }
    #expect(throws: MeanderError.self) { try configuration("[]") }
  }

  @Test func everyKeyThatNobodyAskedForIsRefusedAtOnce() throws {
    var left = try configuration(#"{"a":1,"b":2,"c":null,"d":{"e":1}}"#)
    _ = try left.integer("a", in: 0...9)
    left.ignore(["b"])
    let inner = try #require(try left.object("d"))
    #expect(throws: MeanderError.self) { try inner.finish() }
    let error = #expect(throws: MeanderError.self) { try left.finish() }
    #expect(error?.what.hasSuffix(": c") == true)
    #expect(#expect(throws: MeanderError.self) { try inner.finish() }?.what.hasSuffix(": d.e") == true)
  }

  /// Infinity as transformers 5 writes it and as transformers 4 did.
  @Test(arguments: ["mamba2-tied/config.json", "mamba2-tied/config_v4.json"])
  func bothStylesOfInfinityAreRead(_ name: String) throws {
    var published = try Configuration(JSON.parse(Fixture.bytes(name)), file: name)
    #expect(try published.floats("time_step_limit", count: 2) == [0, .infinity])
  }
}
