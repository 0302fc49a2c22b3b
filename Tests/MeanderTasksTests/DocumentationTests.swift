import Foundation
import MeanderFiles
import MeanderTasks
import Testing

/// `Docs/Tasks.md` shows examples byte for byte. `MEANDER_RECORD=1` writes them anew, and the test fails all the same.
@Test func theDocumentationsExamplesAreThoseThatAreMade() throws {
  let page = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()
    .appending(path: "Docs/Tasks.md")
  var result: [Substring] = []
  var isExample = false
  var tasks: Set<String> = []
  let recorded = try String(contentsOf: page, encoding: .utf8)
  for line in recorded.split(separator: "\n", omittingEmptySubsequences: false) {
    if isExample, line != "```" { continue }
    isExample = false
    result.append(line)
    guard line.hasPrefix("```example ") else { continue }
    isExample = true
    let words = line.split(separator: " ", maxSplits: 2)
    tasks.insert(String(words[1]))
    result += try rendered(String(words[1]), String(words[2])).split(separator: "\n", omittingEmptySubsequences: false)
  }
  let written = result.joined(separator: "\n")
  if ProcessInfo.processInfo.environment["MEANDER_RECORD"] == "1" {
    try Data(written.utf8).write(to: page)
    Issue.record("recorded; run again without MEANDER_RECORD")
  }
  #expect(written == recorded)
  #expect(tasks == Set(RecallTasks.all.map { $0.name }))
}

private func rendered(_ name: String, _ json: String) throws -> String {
  let task = try RecallTasks.make(name, options(json), file: "Docs/Tasks.md")
  var reader = try ExampleReader(
    task, filler: RepeatedFiller.classic, count: 120, using: TaskGenerator(seed: 1, sample: 0))
  var text = ""
  while let part = try reader.next() {
    var shown = ""
    if let string = String(validating: part.bytes, as: UTF8.self), !part.bytes.contains(where: { $0 < 32 && $0 != 10 })
    {
      shown = string
    } else {
      shown = part.bytes.map { "\\x" + ($0 < 16 ? "0" : "") + String($0, radix: 16) }.joined()
    }
    if case .answer = part { text += "«\(shown)»" } else { text += shown }
  }
  return text
}
