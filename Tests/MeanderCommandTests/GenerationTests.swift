import Foundation
import Testing

/// `meander run` and `meander ask`.
@Suite struct GenerationTests {
  private static let key = "The pass key is 48213. Remember it. 48213 is the pass key. "
  private static let filler = String(repeating: "The committee met in the morning and went home. ", count: 40)
  private static let question = "What is the pass key? The pass key is "

  @Test func answersFromWhatItRead() throws {
    let scratch = try Scratch()
    let input = Array((Self.filler + Self.key + Self.filler).utf8)
    let asked = try Command.run(
      ["ask", "-m", "passkey", "--save", "s", Self.question, String(Self.question.dropLast())], in: scratch,
      input: .bytes(input))
    // It ends its answers itself, with the line; without a space behind the question the answer begins with one.
    #expect(asked.lines == ["48213", " 48213"], "\(asked.errors)")
    let again = try Command.run(
      ["ask", "-m", "passkey", "-n", "5", "--load", "s", "--json", Self.question], in: scratch)
    let row = try again.rows()[0]
    #expect(row["answer"] as? String == "48213")
    #expect(row["question"] as? String == Self.question)
  }

  @Test func anAnswerIsALine() throws {
    let result = try Command.run(
      ["ask", "-n", "60", "--stop", "zzzz", "Options:\n", "Usage: "], in: Scratch(),
      input: .bytes(Array(Self.filler.utf8)))
    #expect(result.output.count { $0 == "\n" } == 2)
  }

  @Test func aLoadedStateContinuesTheSameText() throws {
    let scratch = try Scratch()
    let sampling = ["--temp", "0.9", "--seed", "3"]
    let whole = try Command.run(["run", "-p", "The package", "-n", "40"] + sampling, in: scratch)
    #expect(whole.bytes.count >= 40, "\(whole.errors)")
    let first = try Command.run(["run", "-p", "The package", "-n", "15", "--save", "s"] + sampling, in: scratch)
    let rest = try Command.run(["run", "--load", "s", "-n", "25"], in: scratch)
    #expect(first.output + rest.output == whole.output)
  }

  @Test func aSeedRepeatsAndAnotherDiffers() throws {
    func text(_ seed: String) throws -> String {
      try Command.run(["run", "-p", "The ", "-n", "60", "--temp", "1", "--seed", seed], in: Scratch()).output
    }
    #expect(try text("1") == text("1"))
    #expect(try text("1") != text("2"))
  }

  @Test func stopsWhereItIsTold() throws {
    let scratch = try Scratch()
    let whole = try Command.run(["run", "-p", "The package ", "-n", "40"], in: scratch).output
    let stop = String(whole.dropFirst(10).prefix(3))
    let cut = try Command.run(["run", "-p", "The package ", "-n", "40", "--stop", stop], in: scratch).output
    let end = try #require(whole.range(of: stop)).lowerBound
    #expect(cut == String(whole[..<end]))
    let rows = try Command.run(["run", "-p", "The package ", "-n", "7", "--logprobs", "3"], in: scratch).rows()
    #expect(rows.count == 8)
    #expect(rows.last?["finish_reason"] as? String == "length")
    #expect(rows.dropLast().compactMap { $0["text"] as? String }.joined() == String(whole.prefix(7)))
    for row in rows.dropLast() {
      let top = try #require(row["top_logprobs"] as? [[String: Any]])
      #expect(top.count == 3)
      #expect(top[0]["id"] as? Int == row["id"] as? Int)
      #expect(top[0]["logprob"] as? Double == row["logprob"] as? Double)
    }
  }

  @Test func readsThePromptFromStandardInput() throws {
    let scratch = try Scratch()
    let piped = try Command.run(["run", "-n", "20"], in: scratch, input: .bytes(Array("The package ".utf8)))
    #expect(piped.output == (try Command.run(["run", "-n", "20", "-p", "The package "], in: scratch).output))
    #expect(piped.output.isEmpty == false)
  }

  @Test func aContextSizeIsAcceptedWithANote() throws {
    let result = try Command.run(["run", "-c", "4096", "-p", "a", "-n", "1"], in: Scratch())
    #expect(result.status == 0)
    #expect(result.errors.contains("not needed"))
  }

  @Test func aBiasForbidsAToken() throws {
    let scratch = try Scratch()
    // Tokens of one byte each: the first is the space before the answer.
    let run = ["run", "-m", "passkey", "-p", "What is the pass key? The pass key is", "-n", "1"]
    let first = try #require(Command.run(run, in: scratch).bytes.first)
    let other = try Command.run(run + ["--logit-bias", "\(first)-inf"], in: scratch).bytes
    #expect(other.first != nil && other.first != first)
  }

  @Test func theModelThatIsTakenIsSaid() throws {
    let scratch = try Scratch()
    #expect(try Command.run(["run", "-p", "a", "-n", "1"], in: scratch).errors.contains("model reader"))
    let named = try Command.run(
      ["inspect", "--json"], in: scratch, environment: ["MEANDER_MODEL": "passkey"])
    #expect(named.output.contains("\"model\": \"passkey\""))
    #expect(named.errors.contains("passkey"))
    #expect(
      try Command.run(["run", "-m", "reader", "-p", "a", "-n", "1"], in: scratch).errors.contains("model") == false)
  }
}
