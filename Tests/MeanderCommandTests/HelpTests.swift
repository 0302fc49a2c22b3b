import Foundation
import Testing

/// The help of every command, word for word. `MEANDER_RECORD=1` writes it anew, and the test fails all the
/// same, so that nobody records by accident.
@Suite struct HelpTests {
  static let commands: [[String]] = [
    [], ["stream"], ["ask"], ["run"], ["chat"], ["state"], ["state", "show"], ["state", "diff"], ["inspect"], ["logits"],
    ["tokenizer"], ["tokenizer", "encode"], ["tokenizer", "decode"], ["tokenizer", "train"], ["train"], ["mine"], ["quantize"], ["calibrate"], ["lab"],
    ["lab", "passkey"], ["lab", "perplexity"], ["lab", "collapse"], ["lab", "cures"], ["lab", "recall"], ["lab", "remembrance"], ["lab", "check"],
    ["lab", "log"], ["lab", "capacity"], ["lab", "cascade"], ["lab", "length-generalisation"], ["plot"], ["bench"],
  ] + added

  /// Those that need what a trait links.
  private static var added: [[String]] {
    #if FFTW
    [["distill"]]
    #else
    []
    #endif
  }

  @Test(arguments: commands)
  func isAsRecorded(_ command: [String]) throws {
    let scratch = try Scratch()
    let help = try Command.run(command + ["--help"], in: scratch)
    #expect(help.status == 0)
    #expect(help.errors == "")
    let name = (["meander"] + command).joined(separator: "-") + ".txt"
    let recorded = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Help/\(name)")
    if ProcessInfo.processInfo.environment["MEANDER_RECORD"] == "1" {
      try Data(help.bytes).write(to: recorded)
      Issue.record("recorded \(name); run again without MEANDER_RECORD")
    }
    #expect(help.output == (try String(contentsOf: recorded, encoding: .utf8)))
  }

  @Test(arguments: commands)
  func fitsANarrowTerminal(_ command: [String]) throws {
    let help = try Command.run(command + ["--help"], in: Scratch(), environment: ["COLUMNS": "60"])
    for line in help.lines where !line.hasPrefix("$ meander") && !line.hasPrefix("  See 'meander") {
      #expect(line.count <= 60, "\(line)")
    }
  }

  @Test func everySubcommandIsTested() throws {
    let help = try Command.run(["--help"], in: Scratch()).output
    let listed = try #require(help.components(separatedBy: "SUBCOMMANDS:").last).split(separator: "\n")
      .filter { $0.hasPrefix("  ") && !$0.hasPrefix("   ") && !$0.hasPrefix("  See") }
      .compactMap { $0.split(separator: " ").first.map(String.init) }
    #expect(Set(listed) == Set(Self.commands.compactMap(\.first)))
  }
}
