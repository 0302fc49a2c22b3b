import Foundation
import MeanderTestSupport
import Testing

/// After any number of kills, a resumed stream leaves what was never stopped.
@Suite struct ResumeTests {
  private static let arguments = ["stream", "--emit", "surprisal", "--snapshot", "s.state", "-o", "out.jsonl"]

  @Test func equalsARunNeverStopped() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(1800))
    let whole = try Command.run(
      ["stream", "--emit", "surprisal", "-o", "whole.jsonl", "--snapshot", "whole.state"], in: scratch,
      input: .file("app.log"))
    #expect(whole.status == 0, "\(whole.errors)")
    var generator = SeededGenerator(seed: 11)
    let length = scratch.read("whole.jsonl").count
    for share in 1...5 {
      let target = length * share / 7 + Int.random(in: 0..<length / 9, using: &generator)
      let running = try Command.start(
        Self.arguments + ["--resume", "--snapshot-every", "4K"], in: scratch, input: .file("app.log"))
      let isThere = running.wait { scratch.read("out.jsonl").count > target }
      running.signal(SIGKILL)
      #expect(try running.finish().wasKilled && isThere)
    }
    let last = try Command.run(Self.arguments + ["--resume"], in: scratch, input: .file("app.log"))
    #expect(last.status == 0, "\(last.errors)")
    #expect(scratch.read("out.jsonl") == scratch.read("whole.jsonl"))
    #expect(scratch.read("out.jsonl").count > 10_000)
    let diff = try Command.run(["state", "diff", "--json", "s.state", "whole.state"], in: scratch)
    #expect(diff.output.contains("\"identical\": true"), "\(diff.output)\(diff.errors)")
  }

  @Test func goesOnWithAFileThatGrew() throws {
    let scratch = try Scratch()
    let log = logLines(80)
    // The first part ends inside a line, whose output the second run must replace.
    try scratch.write("app.log", Array(log[..<2000]))
    #expect(
      try Command.run(Self.arguments + ["--top", "4", "--above", "0"], in: scratch, input: .file("app.log")).status == 0
    )
    try scratch.write("app.log", log)
    let second = try Command.run(
      Self.arguments + ["--top", "4", "--above", "0", "--resume"], in: scratch, input: .file("app.log"))
    #expect(second.status == 0, "\(second.errors)")
    let whole = try Command.run(
      ["stream", "--emit", "surprisal", "--top", "4", "--above", "0"], in: scratch, input: .file("app.log"))
    #expect(scratch.read("out.jsonl") == whole.bytes)
  }

  @Test func printsTheRestOnStandardOutput() throws {
    let scratch = try Scratch()
    let log = logLines(80)
    let whole = try Command.run(["stream", "--emit", "surprisal"], in: scratch, input: .bytes(log))
    let arguments = ["stream", "--emit", "surprisal", "--snapshot", "s.state", "--resume"]
    let first = try Command.start(arguments, in: scratch, input: .pipe)
    try first.write(Array(log[..<1500]))
    let lines = log[..<1500].count { $0 == 0x0A }
    #expect(first.wait { first.output.split(separator: "\n").count == lines })
    first.signal(SIGTERM)
    let stopped = try first.finish()
    #expect(stopped.status == 130)
    let rest = try Command.run(arguments, in: scratch, input: .bytes(log))
    #expect(stopped.bytes + rest.bytes == whole.bytes)
  }

  @Test(arguments: ["changed", "shorter", "rotated"])
  func refusesAnotherInput(_ kind: String) throws {
    let scratch = try Scratch()
    var log = logLines(50)
    try scratch.write("app.log", log)
    #expect(try Command.run(Self.arguments, in: scratch, input: .file("app.log")).status == 0)
    let before = scratch.read("out.jsonl")
    switch kind {
    case "changed": log[log.count - 40] ^= 1
    case "shorter": log.removeLast(500)
    default: log = logLines(200, seed: 9)
    }
    try scratch.write("app.log", log)
    let result = try Command.run(Self.arguments + ["--resume"], in: scratch, input: .file("app.log"))
    #expect(result.status == 65, "\(result.errors)")
    #expect(result.errors.contains("--resume-here"))
    #expect(scratch.read("out.jsonl") == before)
    let here = try Command.run(Self.arguments + ["--resume-here"], in: scratch, input: .file("app.log"))
    #expect(here.status == 0, "\(here.errors)")
    #expect(scratch.read("out.jsonl").count > before.count)
    let again = try Command.run(Self.arguments + ["--resume"], in: scratch, input: .file("app.log"))
    #expect(again.status == 0, "\(again.errors)")
  }

  @Test func skipsOnAPipe() throws {
    let scratch = try Scratch()
    let log = logLines(50)
    try scratch.write("head.log", Array(log[..<1000]))
    try scratch.write("tail.log", Array(log[1000...]))
    try scratch.write("app.log", log)
    func run(_ line: String) throws -> Finished { try Command.shell(line, in: scratch) }
    let stream = "meander stream --emit surprisal --snapshot s.state"
    #expect(try run("\(stream) < head.log > first.jsonl").status == 0)
    #expect(try run("cp s.state kept.state").status == 0)
    let skipped = try run("cat app.log | \(stream) --resume")
    #expect(skipped.status == 0)
    #expect(skipped.errors.contains("skipping the first 1,000 bytes"))
    #expect(try run("cp kept.state s.state").status == 0)
    let here = try run("cat tail.log | \(stream) --resume-here")
    #expect(here.bytes == skipped.bytes)
    #expect(!here.errors.contains("skipping"))
    #expect(try run("cp kept.state s.state").status == 0)
    let short = try run("head -c 500 app.log | \(stream) --resume")
    #expect(short.status == 65)
    #expect(short.errors.contains("--resume-here"))
  }

  @Test func refusesAnotherModelsSnapshot() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(5))
    #expect(
      try Command.run(["stream", "-m", "passkey", "--snapshot", "s"], in: scratch, input: .file("app.log")).status == 0)
    let result = try Command.run(
      ["stream", "-m", "reader", "--snapshot", "s", "--resume"], in: scratch, input: .file("app.log"))
    #expect(result.status == 65)
    for model in ["passkey", "reader"] {
      let report = try Command.run(["inspect", "--json", model], in: scratch).rows()[0]
      let fingerprint = try #require(report["fingerprint"] as? String)
      #expect(result.errors.contains(fingerprint), "\(result.errors)")
    }
  }

  @Test func refusesAStateThatIsNoStreams() throws {
    let scratch = try Scratch()
    #expect(try Command.run(["run", "-p", "a", "-n", "1", "--save", "s"], in: scratch).status == 0)
    let result = try Command.run(["stream", "--snapshot", "s", "--resume"], in: scratch, input: .bytes([0x61]))
    #expect(result.status == 65)
    #expect(result.errors.contains("--load"))
  }

  @Test func refusesAnOutputThatLostItsEnd() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(20))
    #expect(try Command.run(Self.arguments, in: scratch, input: .file("app.log")).status == 0)
    try scratch.write("out.jsonl", Array(scratch.read("out.jsonl").prefix(100)))
    let result = try Command.run(Self.arguments + ["--resume"], in: scratch, input: .file("app.log"))
    #expect(result.status == 65)
    #expect(scratch.read("out.jsonl").count == 100)
  }
}
