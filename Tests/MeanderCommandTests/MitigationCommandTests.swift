import Foundation
import Testing

/// `--mitigation` on the commands that read.
@Suite struct MitigationCommandTests {
  @Test func whatThereIsNoneOfIsAMistakeOfUsage() throws {
    for command in [["stream"], ["ask", "x"], ["run", "-p", "x"], ["logits", "--ids", "ids.json", "-o", "o"], ["bench"]] {
      let scratch = try Scratch()
      try scratch.write("ids.json", Array("[1]".utf8))
      let result = try Command.run(command + ["-m", "passkey", "--mitigation", "rrj"], in: scratch)
      #expect(result.status == 64, "\(command): \(result.errors)")
      #expect(result.errors.contains("rri, dt-scale"), "\(result.errors)")
    }
  }

  @Test func aStreamResumesUnderItsOwnAlone() throws {
    let scratch = try Scratch()
    let log = logLines(100)
    let arguments = ["stream", "-m", "passkey", "--snapshot", "s.state", "--resume"]
    let window = ["--mitigation", "window:length=1K,form=two-stack", "--mitigation", "rri"]
    let first = try Command.run(arguments + window, in: scratch, input: .bytes(log))
    #expect(first.status == 0, "\(first.errors)")
    #expect(first.errors.contains("mitigations: rri:retention=0.9999,insertion=0.75 window:length=1024,form=two-stack,grid=128"))
    let shown = try Command.run(["state", "show", "s.state"], in: scratch)
    #expect(shown.output.contains("window:length=1024"), "\(shown.output)")
    let other = try Command.run(arguments, in: scratch, input: .bytes(log))
    #expect(other.status == 65)
    #expect(other.errors.contains("window:length=1024") && other.errors.contains("none"), "\(other.errors)")
    // Their order does not matter.
    let reversed = Array(window[2...] + window[..<2])
    let again = try Command.run(arguments + reversed, in: scratch, input: .bytes(log))
    #expect(again.status == 0, "\(again.errors)")
  }

  @Test func theStreamTellsWhatTheyDid() throws {
    let result = try Command.run(
      ["stream", "-m", "passkey", "--mitigation", "reset:every=1K"], in: Scratch(), input: .bytes(logLines(100)))
    #expect(result.status == 0)
    #expect(result.errors.contains("all heads were swapped"), "\(result.errors)")
    #expect(result.output.isEmpty)
  }

  @Test func aMitigationThatAModelCannotTakeSaysWhy() throws {
    let result = try Command.run(
      ["stream", "-m", "passkey", "--mitigation", "auto"], in: Scratch(), input: .bytes(logLines(2)))
    #expect(result.status == 1)
    #expect(result.errors.contains("trained_length"), "\(result.errors)")
  }
}
