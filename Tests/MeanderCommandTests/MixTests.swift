import Foundation
import Testing

/// `meander stream --mix ngram`.
@Suite struct MixTests {
  private static let arguments = [
    "stream", "--emit", "surprisal", "--mix", "ngram", "--snapshot", "s.state", "-o", "out.jsonl",
  ]

  @Test func whatRepeatsComesToCostLess() throws {
    let scratch = try Scratch()
    let log = logLines(150)
    func bits(_ more: [String]) throws -> Double {
      let result = try Command.run(
        ["stream", "--emit", "surprisal", "--no-text"] + more, in: scratch, input: .bytes(log))
      #expect(result.status == 0, "\(result.errors)")
      return try result.rows().reduce(0) { $0 + ($1["bits"] as? Double ?? .nan) }
    }
    #expect(try bits(["--mix", "ngram"]) < 0.7 * bits([]))
  }

  @Test func aKilledRunGoesOnToTheSameBytes() throws {
    let scratch = try Scratch()
    let log = logLines(120)
    try scratch.write("app.log", log)
    let whole = try Command.run(
      ["stream", "--emit", "surprisal", "--mix", "ngram", "-o", "whole.jsonl"], in: scratch, input: .file("app.log"))
    #expect(whole.status == 0, "\(whole.errors)")
    // The first part ends inside a line, and inside what a token may still take in.
    try scratch.write("app.log", Array(log[..<4001]))
    #expect(try Command.run(Self.arguments, in: scratch, input: .file("app.log")).status == 0)
    try scratch.write("app.log", log)
    let rest = try Command.run(Self.arguments + ["--resume"], in: scratch, input: .file("app.log"))
    #expect(rest.status == 0, "\(rest.errors)")
    #expect(scratch.read("out.jsonl") == scratch.read("whole.jsonl"))
    let plain = try Command.run(
      ["stream", "--emit", "surprisal", "--snapshot", "s.state", "-o", "out.jsonl", "--resume"], in: scratch,
      input: .file("app.log"))
    #expect(plain.status == 65 && plain.errors.contains("--mix ngram"))
    #expect(try Command.run(["stream", "--mix", "ngram"], in: scratch).status == 64)
  }
}
