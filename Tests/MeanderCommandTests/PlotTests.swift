import Testing

/// `meander plot`.
@Suite struct PlotTests {
  @Test func drawsALogIntoAFileOrOnStandardOutput() throws {
    let scratch = try Scratch()
    let log = (1...50).map { #"{"step": \#($0), "loss": \#(5 - Double($0) / 20), "learning_rate": 0.001}"# + "\n" }
      .joined()
    try scratch.write("log.jsonl", Array(log.utf8))
    let printed = try Command.run(["plot", "log.jsonl"], in: scratch)
    #expect(printed.status == 0, "\(printed.errors)")
    #expect(printed.output.hasPrefix("<svg ") && printed.output.contains("learning rate"))
    let written = try Command.run(["plot", "log.jsonl", "-o", "log.svg"], in: scratch)
    #expect(written.status == 0 && written.bytes.isEmpty)
    #expect(scratch.read("log.svg") == printed.bytes)
  }

  @Test(
    arguments: [("absent", nil, 66), ("torn", "{\"step\": 1, \"loss\": 2}\n{\"ste\n", 65), ("text", "hello", 65)]
      as [(String, String?, Int32)])
  func refusesWhatItCannotDraw(_ name: String, _ text: String?, _ status: Int32) throws {
    let scratch = try Scratch()
    if let text { try scratch.write(name, Array(text.utf8)) }
    let result = try Command.run(["plot", name, "-o", "out.svg"], in: scratch)
    #expect(result.status == status)
    #expect(result.errors.contains(name))
    #expect(!scratch.exists("out.svg"))
  }
}
