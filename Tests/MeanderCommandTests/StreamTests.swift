import Foundation
import MeanderTestSupport
import Testing

/// What `meander stream --emit surprisal` prints.
@Suite struct StreamTests {
  @Test func printsEachLine() throws {
    let log = logLines(200)
    let result = try Command.run(["stream", "--emit", "surprisal"], in: Scratch(), input: .bytes(log))
    #expect(result.status == 0, "\(result.errors)")
    let rows = try result.rows()
    let lines = String(decoding: log, as: UTF8.self).split(separator: "\n")
    #expect(rows.map { $0["text"] as? String } == lines.map(String.init))
    var offset = 0
    for (row, line) in zip(rows, lines) {
      #expect(row["offset"] as? Int == offset)
      let bits = try #require(row["bits"] as? Double)
      let perByte = try #require(row["bits_per_byte"] as? Double)
      #expect(abs(perByte * Double(line.utf8.count + 1) - bits) < 0.02, "\(line)")
      #expect(bits > 0)
      offset += line.utf8.count + 1
    }
    #expect(rows.prefix(16).allSatisfy { $0["score"] as? Double == 0 })
    #expect(rows.dropFirst(16).contains { $0["score"] as? Double != 0 })
  }

  @Test func findsTheStrangestLines() throws {
    let result = try Command.run(
      ["stream", "--emit", "surprisal", "--top", "3"], in: Scratch(), input: .bytes(logLines(400)))
    let rows = try result.rows()
    #expect(rows.map { $0["rank"] as? Int } == [1, 2, 3])
    #expect(rows.allSatisfy { ($0["text"] as? String)?.hasPrefix("kernel: Oops") == true }, "\(result.output)")
    let scores = rows.compactMap { $0["score"] as? Double }
    #expect(scores == scores.sorted(by: >))
  }

  @Test func filtersAndLeavesOutText() throws {
    let arguments = ["stream", "--emit", "surprisal"]
    let scratch = try Scratch()
    let log = logLines(300)
    let all = try Command.run(arguments, in: scratch, input: .bytes(log))
    let high = try Command.run(arguments + ["--above", "2"], in: scratch, input: .bytes(log))
    let expected = try zip(all.lines, all.rows()).filter { $1["score"] as? Double ?? 0 > 2 }.map(\.0)
    #expect(!expected.isEmpty)
    #expect(high.lines == expected)
    let bare = try Command.run(arguments + ["--no-text"], in: scratch, input: .bytes(log))
    #expect(bare.lines.count == all.lines.count)
    #expect(try bare.rows().allSatisfy { $0["text"] == nil && $0["bits"] != nil })
  }

  @Test(arguments: [1, 2])
  func doesNotDependOnHowTheInputComes(_ threads: Int) throws {
    let scratch = try Scratch()
    let log = logLines(60) + Array("no line break at the end".utf8)
    let whole = try Command.run(["stream", "--emit", "surprisal"], in: scratch, input: .bytes(log))
    let slow = try Command.start(
      ["stream", "--emit", "surprisal", "-t", "\(threads)"], in: scratch, input: .pipe)
    var generator = SeededGenerator(seed: 5)
    var rest = log[...]
    while !rest.isEmpty {
      let piece = rest.prefix(Int.random(in: 1...700, using: &generator))
      try slow.write(Array(piece))
      rest = rest.dropFirst(piece.count)
      usleep(2000)
    }
    try slow.closeInput()
    #expect(try slow.finish().bytes == whole.bytes)
    #expect(whole.lines.last?.contains("no line break at the end") == true)
  }

  /// A line is printed as soon as its last token is known, while the writer holds the pipe open: a token may run over a
  /// line's end, so the next line's first byte decides.
  @Test func isPrompt() throws {
    let running = try Command.start(["stream", "--emit", "surprisal"], in: Scratch(), input: .pipe)
    try running.write(Array("l".utf8))
    for number in 1...3 {
      try running.write(Array("ine \(number)\nl".utf8))
      let isThere = running.wait { running.output.contains("\"line \(number)\"") }
      #expect(isThere, "\(running.output)")
    }
    try running.closeInput()
    #expect(try running.finish().status == 0)
  }

  @Test func showsWhatIsNotText() throws {
    let input: [UInt8] = [0xFF, 0xFE, 0x41, 0x0A, 0x22, 0x5C, 0x01, 0x0A, 0x0A]
    let rows = try Command.run(["stream", "--emit", "surprisal"], in: Scratch(), input: .bytes(input)).rows()
    #expect(rows.map { $0["text"] as? String } == ["\u{FFFD}\u{FFFD}A", "\"\\\u{1}", ""])
    #expect(rows.map { $0["offset"] as? Int } == [0, 4, 8])
  }

  @Test func holdsOnlyTheBeginningOfALongLine() throws {
    let input = [UInt8](repeating: 0x61, count: 100_000) + [0x0A, 0x62, 0x0A]
    let rows = try Command.run(
      ["stream", "--emit", "surprisal"], in: Scratch(), input: .bytes(input)
    ).rows()
    #expect((rows[0]["text"] as? String)?.utf8.count == 65_536)
    #expect(rows[0]["truncated"] as? Bool == true)
    #expect(rows[1]["offset"] as? Int == 100_001)
    #expect(rows[1]["truncated"] == nil)
  }

  @Test func refusesAModelMadeForRecall() throws {
    let result = try Command.run(
      ["stream", "-m", "passkey", "--emit", "surprisal"], in: Scratch(), input: .bytes(logLines(3)))
    #expect(result.status == 1)
    #expect(result.errors.contains("made for recall"))
    #expect(result.output == "")
  }

  @Test func tellsSpeedAndMemory() throws {
    let result = try Command.run(["stream", "-m", "passkey"], in: Scratch(), input: .bytes(logLines(100)))
    #expect(result.output == "")
    #expect(result.errors.contains("/s"))
    #expect(result.errors.contains("peak RSS"))
  }

  @Test func refusesToPassTheMemoryBound() throws {
    let result = try Command.run(
      ["stream", "-m", "passkey", "--max-rss", "1"], in: Scratch(), input: .bytes(logLines(100)))
    #expect(result.status == 1, "\(result.errors)")
    #expect(result.errors.contains("limit") || result.errors.contains("max-rss"))
  }
}
