import Foundation
import MeanderTestSupport
import Testing

/// What bounds attention, and the fallback, on the command line.
@Suite struct AttentionCommandTests {
  private static let model = Fixture.path("llama-gqa")

  @Test func memoryDoesNotGrowWithTheStream() throws {
    let scratch = try Scratch()
    func peak(_ lines: Int) throws -> Double {
      let result = try Command.run(
        ["stream", "-m", Self.model, "--last-tokens", "64", "--snapshot", "s"], in: scratch, input: .bytes(logLines(lines)))
      #expect(result.status == 0, "\(result.errors)")
      let words = try #require(result.errors.components(separatedBy: "peak RSS ").last?.split(separator: " "))
      return try #require(Double(words[0])) * (["k": 1e3, "M": 1e6, "G": 1e9][words[1].prefix(1)] ?? 1)
    }
    let (short, long) = (try peak(400), try peak(6000))
    #expect(long - short < 2_097_152)
  }

  @Test func aFullCacheEndsWithAnErrorThatSaysWhatToDo() throws {
    let scratch = try Scratch()
    let result = try Command.run(
      ["stream", "-m", Self.model, "--full-context", "256K", "--snapshot", "s"], in: scratch, input: .bytes(logLines(100)))
    #expect(result.status == 1)
    #expect(result.errors.contains("holds 512 tokens") && result.errors.contains("bounded context"), "\(result.errors)")
    let enough = try Command.run(
      ["stream", "-m", Self.model, "--full-context", "4M", "--snapshot", "s"], in: scratch, input: .bytes(logLines(100)))
    #expect(enough.status == 0, "\(enough.errors)")
  }

  /// A vocabulary of printable characters whose template begins a text with a token.
  @Test func aTextBeginsAsItsTokenizerAsks() throws {
    let scratch = try Scratch()
    let letters = (33...126).map { String(Unicode.Scalar(UInt8($0))) } + ["Ġ", "Ċ"]
    let vocabulary = Dictionary(uniqueKeysWithValues: letters.enumerated().map { ($1, $0) })
    let tokenizer: [String: Any] = [
      "added_tokens": [["id": 96, "content": "<s>", "special": true]], "pre_tokenizer": ["type": "ByteLevel", "add_prefix_space": false],
      "post_processor": [
        "type": "TemplateProcessing", "single": [["SpecialToken": ["id": "<s>"]], ["Sequence": ["id": "A"]]],
        "special_tokens": ["<s>": ["id": "<s>", "ids": [96], "tokens": ["<s>"]]],
      ], "decoder": ["type": "ByteLevel"], "model": ["type": "BPE", "vocab": vocabulary, "merges": [String]()],
    ]
    try FileManager.default.createDirectory(atPath: scratch.path("begun"), withIntermediateDirectories: true)
    for name in ["config.json", "model.safetensors"] {
      try FileManager.default.copyItem(atPath: Self.model + "/" + name, toPath: scratch.path("begun/\(name)"))
    }
    try JSONSerialization.data(withJSONObject: tokenizer).write(to: URL(fileURLWithPath: scratch.path("begun/tokenizer.json")))
    for (command, input) in [
      (["run", "-m", "begun", "-p", "seven..", "-n", "0", "--save", "a"], ""),
      (["ask", "-m", "begun", "-n", "0", "--save", "a", "x"], "seven.."), (["stream", "-m", "begun", "--save", "a"], "seven.."),
    ] {
      let result = try Command.run(command, in: scratch, input: .bytes(Array(input.utf8)))
      #expect(result.status == 0, "\(result.errors)")
      let state = try Command.run(["state", "show", "a", "--json"], in: scratch).output
      // The token and five letters; what could still join the points is not read yet.
      #expect(state.contains(#""position": 6,"#) && state.contains(#""bytes_read": 7,"#), "\(command): \(state.prefix(200))")
    }
  }

  @Test func boundsThatExcludeEachOtherAreAMistakeOfUsage() throws {
    for arguments in [["--full-context", "1M", "--last-tokens", "8"], ["--full-context", "much"], ["--last-tokens", "x"]] {
      for command in [["stream"], ["ask", "x"], ["run", "-p", "x"], ["bench"], ["logits", "--ids", "i", "-o", "o"]] {
        let result = try Command.run(command + ["-m", Self.model] + arguments, in: Scratch())
        #expect(result.status == 64, "\(command + arguments): \(result.errors)")
      }
    }
    let none = try Command.run(["run", "-m", Self.model, "-p", "x", "--last-tokens", "0"], in: Scratch())
    #expect(none.status == 1 || none.status == 64, "\(none.errors)")
    #expect(none.errors.contains("Give 1 to"))
  }

  @Test func aStreamGoesOnUnderItsOwnBoundAlone() throws {
    let scratch = try Scratch()
    let arguments = ["stream", "-m", Self.model, "--snapshot", "s.state", "--resume"]
    let bound = ["--first-tokens", "3", "--last-tokens", "40"]
    let whole = try Command.run(
      ["stream", "-m", Self.model, "--snapshot", "whole.state"] + bound, in: scratch, input: .bytes(logLines(120)))
    #expect(whole.status == 0, "\(whole.errors)")
    let first = try Command.run(arguments + bound, in: scratch, input: .bytes(Array(logLines(120).prefix(4000))))
    #expect(first.status == 0, "\(first.errors)")
    let other = try Command.run(arguments, in: scratch, input: .bytes(logLines(120)))
    #expect(other.status == 65 && other.errors.contains("bounds of attention"), "\(other.errors)")
    let second = try Command.run(arguments + bound, in: scratch, input: .bytes(logLines(120)))
    #expect(second.status == 0, "\(second.errors)")
    func answer(_ state: String) throws -> String {
      let result = try Command.run(
        ["run", "-m", Self.model, "--load", state, "-n", "12", "--json"] + bound, in: scratch)
      #expect(result.status == 0, "\(result.errors)")
      return result.output
    }
    #expect(try answer("s.state") == answer("whole.state"))
  }

  @Test func theFallbackSaysWhoAnsweredAndWhy() throws {
    let scratch = try Scratch()
    let line = String(repeating: "The grass is green. The sky is blue. ", count: 4)
    let text = Array("\(line)The pass key is 48213. Remember it. 48213 is the pass key. \(line)".utf8)
    let question = "What is the pass key? The pass key is "
    let asked = try Command.run(
      ["ask", "-m", "reader", "--fallback", "passkey", "--fallback-below", "0", "-n", "5", "--json", question], in: scratch,
      input: .bytes(text))
    #expect(asked.status == 0, "\(asked.errors)")
    for part in [#""answer": "48213""#, #""model": "passkey""#, #""fallback": true"#, #""reason": "uncertain""#, #""confidence": -"#, #""looks": [{"offset": 0, "bytes": "#, #""used": true"#, #""skipped": 0"#] {
      #expect(asked.output.contains(part), "\(asked.output)")
    }
    let own = try Command.run(
      ["ask", "-m", "passkey", "--fallback", "reader", "--fallback-below", "-50", "-n", "5", "--json", question], in: scratch,
      input: .bytes(text))
    for part in [#""answer": "48213""#, #""model": "passkey""#, #""fallback": false"#, #""reason": "certain""#] {
      #expect(own.output.contains(part), "\(own.output)")
    }
    let plain = try Command.run(
      ["ask", "-m", "reader", "--fallback", "passkey", "--fallback-below", "0", "-n", "5", question], in: scratch,
      input: .bytes(text))
    #expect(plain.output == "48213\n")
    #expect(plain.errors.contains("passkey answers from 1 of 1 parts of the input: the reader is uncertain"), "\(plain.errors)")
    for arguments in [["--fallback-below", "-1"], ["--fallback-tokens", "5"], ["--fallback-quantile", "0.2"], ["--score", "all"], ["--spool", "1M"]] {
      #expect(try Command.run(["ask", "x"] + arguments, in: scratch).status == 64)
    }
    let wrong = try Command.run(["ask", "x", "--fallback", "passkey", "--fallback-quantile", "2"], in: scratch)
    #expect(wrong.status != 0 && wrong.errors.contains("0 to 1"), "\(wrong.errors)")
  }
}
