import Foundation
import Testing

/// `meander lab`.
@Suite struct LabTests {
  @Test func printsAndWritesOneReport() throws {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(400))
    let result = try Command.run(
      [
        "lab", "passkey", "-m", "passkey", "--filler", "app.log", "--lengths", "1K", "--samples", "3", "--wording",
        "landmark",
        "--json", "-o", "out",
      ],
      in: scratch)
    #expect(result.status == 0, "\(result.errors)")
    let report = try #require(try result.rows().first)
    #expect(report["seed"] as? Int == 1 && report["complete"] as? Bool == true)
    #expect((report["fingerprint"] as? String)?.isEmpty == false)
    let rows = try #require(report["results"] as? [[String: Any]])
    #expect(rows.map { $0["series"] as? String } == ["landmark", "landmark, space"])
    #expect(rows.allSatisfy { $0["distinct_filler_bytes"] as? Int ?? 0 > 1000 })
    let written = try JSONSerialization.jsonObject(with: Data(scratch.read("out/report.json"))) as? [String: Any]
    #expect(NSDictionary(dictionary: written ?? [:]) == NSDictionary(dictionary: report))
    #expect(String(decoding: scratch.read("out/report.svg"), as: UTF8.self).hasPrefix("<svg "))
  }

  @Test func anInterruptLeavesAPartialReportThatIsGoneOnFrom() throws {
    let scratch = try Scratch()
    let arguments = [
      "lab", "passkey", "-m", "passkey", "--lengths", "1K,512K", "--samples", "4", "--wording", "landmark", "-o", "out",
      "-t", "1",
    ]
    let running = try Command.start(arguments, in: scratch)
    #expect(
      running.wait {
        String(decoding: scratch.read("out/outcomes.jsonl"), as: UTF8.self).split(separator: "\n").count >= 5
      })
    running.signal(SIGINT)
    let stopped = try running.finish()
    #expect(stopped.status == 130 && stopped.errors.contains("--resume"), "\(stopped.errors)")
    let partial = try JSONSerialization.jsonObject(with: Data(scratch.read("out/report.json"))) as? [String: Any]
    #expect(partial?["complete"] as? Bool == false)
    #expect(((partial?["results"] as? [Any])?.count ?? 0) >= 2)
    let before = scratch.read("out/outcomes.jsonl")
    let shorter = arguments.map { $0 == "1K,512K" ? "1K,2K" : $0 }
    let resumed = try Command.run(shorter + ["--resume"], in: scratch)
    #expect(resumed.status == 0, "\(resumed.errors)")
    #expect(scratch.read("out/outcomes.jsonl").starts(with: before))
    let other = try Command.run(arguments + ["--resume", "--seed", "2"], in: scratch)
    #expect(other.status == 65 && other.errors.contains("another measurement"))
    // Who forgets to say so loses nothing.
    let kept = scratch.read("out/outcomes.jsonl")
    let forgotten = try Command.run(shorter, in: scratch)
    #expect(forgotten.status == 64 && forgotten.errors.contains("--resume"), "\(forgotten.status) \(forgotten.errors)")
    #expect(scratch.read("out/outcomes.jsonl") == kept)
  }

  @Test func aReportBeginsWithTheMitigationsInForce() throws {
    let scratch = try Scratch()
    let arguments = [
      "lab", "passkey", "-m", "passkey", "--lengths", "512", "--samples", "1", "--wording", "landmark", "-o",
    ]
    let result = try Command.run(arguments + ["out", "--mitigation", "state-norm:cap=40", "--json"], in: scratch)
    #expect(result.status == 0, "\(result.errors)")
    #expect(result.output.hasPrefix(#"{"mitigations":["state-norm:cap=40"#), "\(result.output.prefix(100))")
    // What was measured under one is not gone on with under another.
    #expect(try Command.run(arguments + ["out", "--resume"], in: scratch).status == 65)
    let narrow = try Command.run(arguments + ["narrow", "--state", "bf16", "--json"], in: scratch)
    #expect(narrow.status == 0 && narrow.output.contains(#""state":"bf16""#), "\(narrow.errors)")
    let plain = try Command.run(arguments + ["plain", "--json"], in: scratch)
    #expect(plain.output.hasPrefix(#"{"mitigations":"none""#) && !plain.output.contains(#""state":"#))
  }

  @Test(arguments: [
    ["--lengths", "1X"], ["--lengths", "4K..1K"], ["--depths", "1.5"], ["--samples", "0"], ["--wording", "mine"],
    ["--keys", "2", "--wording", "log"],
  ])
  func refusesWhatMeansNothing(_ options: [String]) throws {
    let result = try Command.run(["lab", "passkey", "-m", "passkey", "-o", "out"] + options, in: Scratch())
    #expect(result.status == 64, "\(result.errors)")
  }
}
