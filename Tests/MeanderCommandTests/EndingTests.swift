import Foundation
import MeanderTestSupport
import Testing

/// How commands end: exit statuses, signals, closed pipes and full disks.
@Suite struct EndingTests {
  struct Ending: CustomTestStringConvertible {
    let line: String
    let status: Int32
    init(_ status: Int32, _ line: String) {
      self.line = line
      self.status = status
    }
    var testDescription: String { line }
  }

  static let endings: [Ending] = [
    Ending(64, "--no-such-option"), Ending(64, "stream --above 3"), Ending(64, "stream --resume"),
    Ending(64, "run -n -2"), Ending(64, "bogus"), Ending(64, "run -p x --top-p 7"),
    Ending(64, "run -p x --logit-bias 9999+1"), Ending(64, "run -n 1"),
    Ending(65, "logits -m passkey --ids bad.json -o o"), Ending(65, "run -m torn -p x"),
    Ending(65, "state show bad.json"), Ending(66, "run -m nowhere -p x"),
    Ending(66, "logits --ids nowhere.json -o o"), Ending(66, "state show nowhere"), Ending(66, "run --load nowhere"),
    Ending(66, "run -p x -n 1 --save no/such/folder"), Ending(0, "--help"), Ending(0, "--version"),
  ]

  @Test(arguments: endings)
  func hasItsStatus(_ ending: Ending) throws {
    let scratch = try Scratch()
    try scratch.write("bad.json", Array("[1, 2".utf8))
    try FileManager.default.createDirectory(atPath: scratch.path("torn"), withIntermediateDirectories: true)
    let model = Fixture.path("mamba2-tied")
    try FileManager.default.copyItem(atPath: model + "/config.json", toPath: scratch.path("torn/config.json"))
    let weights = try Data(contentsOf: URL(fileURLWithPath: model + "/model.safetensors"))
    try weights.prefix(weights.count / 2).write(to: scratch.folder.appendingPathComponent("torn/model.safetensors"))
    let result = try Command.run(ending.line.split(separator: " ").map(String.init), in: scratch)
    #expect(result.status == ending.status, "\(result.errors)")
    #expect(result.errors.isEmpty == (ending.status == 0))
  }

  @Test func aHubNameThatIsNotCachedNamesTheCommand() throws {
    let result = try Command.run(["inspect", "state-spaces/mamba2-130m"], in: Scratch())
    #expect(result.status == 66)
    #expect(result.errors.contains("hf download state-spaces/mamba2-130m"))
  }

  @Test(arguments: [SIGTERM, SIGINT])
  func anInterruptWritesTheSnapshot(_ signal: Int32) throws {
    let scratch = try Scratch()
    let running = try Command.start(
      ["stream", "--emit", "surprisal", "--snapshot", "s.state"], in: scratch, input: .pipe)
    // A token may run over a line's end, so the second line is told when the third begins.
    try running.write(Array("one\ntwo\nx".utf8))
    #expect(running.wait { running.output.split(separator: "\n").count == 2 })
    running.signal(signal)
    #expect(try running.finish().status == 130)
    let shown = try Command.run(["state", "show", "--json", "s.state"], in: scratch)
    #expect(shown.output.contains("\"bytes_read\": 9"), "\(shown.output)\(shown.errors)")
  }

  @Test func aReportIsPrintedOnRequest() throws {
    let running = try Command.start(
      ["stream", "--emit", "surprisal", "--top", "2", "--above", "-1000"], in: Scratch(), input: .pipe)
    try running.write(logLines(30) + Array("x".utf8))
    #expect(running.wait { running.output.count { $0 == "\n" } == 30 })
    running.signal(SIGUSR1)
    #expect(running.wait { running.output.contains("\"rank\": 2") })
    try running.closeInput()
    let result = try running.finish()
    #expect(result.status == 0)
    #expect(result.lines.count == 35)
  }

  @Test(arguments: ["stream --emit surprisal", "tokenizer encode"])
  func aClosedPipeEndsQuietly(_ command: String) throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(3000))
    let result = try Command.shell(
      "{ meander \(command) < app.log; echo $? > status; } 2> errors | head -n 1", in: scratch)
    #expect(result.lines.count == 1)
    #expect(String(decoding: scratch.read("status"), as: UTF8.self) == "0\n")
    #expect(!String(decoding: scratch.read("errors"), as: UTF8.self).contains("written"))
  }

  @Test(arguments: [
    "stream --emit surprisal < app.log > /dev/full", "stream --emit surprisal -o /dev/full < app.log",
    "run -p x -n 2 > /dev/full", "inspect passkey > /dev/full", "tokenizer encode < app.log > /dev/full",
    "run -p x -n 1 --save /dev/full", "--help > /dev/full",
  ])
  func aFullDiskIsAnError(_ command: String) throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(50))
    let result = try Command.shell("meander \(command)", in: scratch)
    #expect(result.status == 74, "\(result.errors)")
  }

  /// No file of ours is taken for a stream that whoever started us had closed.
  @Test func aClosedStreamIsAnError() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(50))
    #expect(try Command.shell("meander stream -m passkey <&-", in: scratch).status == 74)
    let stream = "meander stream --emit surprisal --snapshot s.state < app.log"
    #expect(try Command.shell("\(stream) >&-", in: scratch).status == 74)
    #expect(try Command.shell("\(stream) 2>&-", in: scratch).lines.count == 50)
    #expect(try Command.run(["state", "show", "s.state"], in: scratch).status == 0)
  }

  /// A disk that fills in the middle of a snapshot: 8 KiB of it fit. The snapshot before is whole, nothing
  /// else is left, and the input is continued from it.
  @Test func aDiskThatFillsLeavesThePreviousSnapshot() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(50))
    let stream = "meander stream -m passkey --snapshot s.state --resume < app.log"
    #expect(try Command.shell(stream, in: scratch).status == 0)
    let before = scratch.read("s.state")
    #expect(before.count > 16_384)
    try scratch.write("app.log", logLines(90))
    let full = try Command.shell("ulimit -f 16; \(stream)", in: scratch)
    #expect(full.status == 74, "\(full.errors)")
    #expect(scratch.read("s.state") == before)
    #expect(!scratch.exists(".s.state.temporary"))
    #expect(try Command.shell(stream, in: scratch).status == 0)
    let resumed = scratch.read("s.state")
    #expect(try Command.shell("meander stream -m passkey --snapshot whole < app.log", in: scratch).status == 0)
    #expect(resumed == scratch.read("whole"))
  }
}
