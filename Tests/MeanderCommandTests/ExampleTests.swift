import Foundation
import MeanderTestSupport
import Testing

/// Every example that a help text shows works as it stands there.
@Suite struct ExampleTests {
  @Test(arguments: HelpTests.commands)
  func works(_ command: [String]) throws {
    let help = try Command.run(command + ["--help"], in: Scratch(), environment: ["COLUMNS": "200"]).output
    let examples = help.split(separator: "\n").compactMap { line -> String? in
      let line = line.drop { $0 == " " }
      return line.hasPrefix("$ ") ? String(line.dropFirst(2)) : nil
    }
    let isGroup = [[], ["state"], ["tokenizer"], ["lab"]].contains(command)
    #expect(examples.isEmpty == isGroup)
    guard !examples.isEmpty else { return }
    let scratch = try Self.files()
    for example in examples {
      let result = try Command.shell(example, in: scratch)
      #expect(result.status == 0, "\(example): \(result.errors)")
      let isSilent =
        example.contains("--snapshot") || example.contains("-o ") && !example.contains(" lab ") && !example.contains("--json") || example.contains(" train ")
      #expect(result.output.isEmpty == isSilent, "\(example)")
    }
  }

  /// A folder with the files that the examples name.
  private static func files() throws -> Scratch {
    let scratch = try Scratch()
    try scratch.write("app.log", logLines(60))
    try scratch.write("long.log", logLines(300, seed: 2))
    let notes = String(repeating: "The meeting is on Monday at noon. ", count: 8)
    try scratch.write(
      "notes.txt", Array((notes + "The pass key is 48213. Remember it. 48213 is the pass key. " + notes).utf8))
    try scratch.write(
      "recipe.json",
      Array(
        """
        {"model": {"model_type": "mamba2", "vocab_size": 256, "hidden_size": 16, "num_hidden_layers": 1, "state_size": 8,
         "num_heads": 2, "head_dim": 16, "n_groups": 1, "tie_word_embeddings": true}, "data": [{"source": "strided", "path": "app.log"}],
         "batch": 2, "length": 32, "steps": 12, "output": "run"}
        """.utf8))
    try scratch.write(
      "chat.jinja",
      Array("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}{% if add_generation_prompt %}assistant:{% endif %}".utf8))
    try scratch.write("ids.json", Array("[1, 2, 3, 4, 5, 6, 7, 8]".utf8))
    try scratch.write("log.jsonl", Array(#"{"step": 1, "loss": 5.5}"#.utf8))
    try scratch.write("report.json", Array(#"{"results": [{"length": 1024, "accuracy": 0.9}]}"#.utf8))
    try FileManager.default.copyItem(atPath: Fixture.path("mamba2-tied"), toPath: scratch.path("model"))
    try FileManager.default.copyItem(atPath: Fixture.path("hyena"), toPath: scratch.path("hyena"))
    for name in ["notes.state", "a.state", "b.state"] {
      let saved = try Command.run(
        ["run", "-p", "The text of \(name)", "-n", "1", "--save", scratch.path(name)], in: scratch)
      #expect(saved.status == 0, "\(saved.errors)")
    }
    return scratch
  }
}
