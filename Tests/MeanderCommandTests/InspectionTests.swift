import Foundation
import MeanderTestSupport
import Testing

/// `meander inspect`, `state`, `tokenizer` and `bench`.
@Suite struct InspectionTests {
  /// What every head of `passkey` writes something of.
  private static let statement = "The pass key is 48213. Remember it. "

  @Test func inspectsAModel() throws {
    let row = try Command.run(["inspect", "--json", "passkey"], in: Scratch()).rows()[0]
    #expect(row["architecture"] as? String == "mamba2")
    #expect(row["purposes"] as? [String] == ["recall"])
    #expect(row["parameters"] as? Int == 215_478)
    let regime = try #require(row["regime"] as? [String: Any])
    // 3 layers of 6 heads × 32 × 32, and 3 taps of 256 channels.
    #expect(regime["state_floats"] as? Int == 3 * (6 * 32 * 32 + 3 * 256))
    #expect(regime["extrapolated"] as? Bool == true)
    #expect(regime["recall_length_tokens"] == nil)
    let text = try Command.run(["inspect", "passkey"], in: Scratch()).output
    #expect(text.contains("extrapolation"))
  }

  @Test func showsAState() throws {
    let scratch = try Scratch()
    #expect(try Command.run(["run", "-m", "passkey", "-p", Self.statement, "-n", "0", "--save", "s"], in: scratch).status == 0)
    let row = try Command.run(["state", "show", "--json", "s"], in: scratch).rows()[0]
    let regions = try #require(row["regions"] as? [[String: Any]])
    let recurrent = regions.filter { ($0["name"] as? String)?.hasSuffix(".ssm") == true }
    #expect(recurrent.count == 3)
    for region in recurrent { #expect((region["norms"] as? [Double])?.count { $0 > 0 } == 6) }
    let text = try Command.run(["state", "show", "s"], in: scratch)
    #expect(text.output.contains("layers.1.ssm"))
    #expect(text.lines.allSatisfy { $0.count <= 80 })
  }

  @Test func tellsHowFarStatesLieApart() throws {
    let scratch = try Scratch()
    for (name, text) in [("a", "one text"), ("b", "one texu"), ("c", "one text")] {
      #expect(try Command.run(["run", "-m", "passkey", "-p", text, "-n", "1", "--save", name], in: scratch).status == 0)
    }
    let different = try Command.run(["state", "diff", "--json", "a", "b"], in: scratch).rows()[0]
    #expect(different["identical"] as? Bool == false)
    let distances = try #require(different["distances"] as? [String: [Double]])
    #expect(try #require(distances["layers.0.ssm"]).contains { $0 > 0 })
    let same = try Command.run(["state", "diff", "--json", "a", "c"], in: scratch).rows()[0]
    #expect(same["identical"] as? Bool == true)
    #expect(try Command.run(["run", "-m", "reader", "-p", "a", "-n", "1", "--save", "d"], in: scratch).status == 0)
    #expect(try Command.run(["state", "diff", "a", "d"], in: scratch).status == 65)
  }

  @Test func encodesAndDecodes() throws {
    let scratch = try Scratch()
    let text = Array("naïve — 1234 lines\n".utf8)
    let plain = try Command.run(["tokenizer", "encode", "-m", "passkey"], in: scratch, input: .bytes(text))
    #expect(plain.lines.compactMap { UInt8($0) } == text)
    let json = try Command.run(["tokenizer", "tokenize", "-m", "passkey", "--json"], in: scratch, input: .bytes(text))
    #expect(try json.rows()[0]["ids"] as? [Int] == text.map(Int.init))
    for ids in [plain.bytes, json.bytes] {
      #expect(try Command.run(["tokenizer", "decode", "-m", "passkey"], in: scratch, input: .bytes(ids)).bytes == text)
    }
    let wrong = try Command.run(["tokenizer", "decode", "-m", "passkey"], in: scratch, input: .bytes(Array("12 999".utf8)))
    #expect(wrong.status == 65)
  }

  @Test(arguments: ["bpe-neox", "unigram-metaspace"])
  func encodesWithAFolderThatHoldsOnlyATokenizer(_ name: String) throws {
    let scratch = try Scratch()
    let path = Fixture.path("tokenizers/\(name)")
    let data = try Data(contentsOf: URL(fileURLWithPath: path + "/golden.json"))
    let golden = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let strings = try #require(golden["strings"] as? [[String: Any]])
    for string in strings.filter({ ($0["text"] as? String)?.isEmpty == false }).prefix(12) {
      let text = try #require(string["text"] as? String)
      for (key, arguments) in [("ids", []), ("ids_with_special", ["--special"])] {
        guard let ids = string[key] as? [Int] else { continue }
        let encoded = try Command.run(
          ["tokenizer", "encode", "--json", "-m", path] + arguments, in: scratch, input: .bytes(Array(text.utf8)))
        #expect(try encoded.rows().first?["ids"] as? [Int] == ids, "\(text.debugDescription) \(encoded.errors)")
      }
    }
  }

  @Test func benches() throws {
    let result = try Command.run(
      ["bench", "-m", "passkey", "--prompt-tokens", "32", "-n", "4", "-r", "2", "-t", "1", "--json"], in: Scratch())
    let rows = try #require(
      try JSONSerialization.jsonObject(with: Data(result.bytes)) as? [[String: Any]], "\(result.errors)")
    #expect(rows.map { $0["test"] as? String } == ["pp32", "tg4"])
    for row in rows {
      #expect(row["tokens_per_second"] as? Double ?? 0 > 0)
      #expect(row["deviation"] as? Double != nil)
      #expect(row["threads"] as? Int == 1)
      #expect(row["rss_bytes"] as? Int ?? 0 > 0)
    }
  }
}
