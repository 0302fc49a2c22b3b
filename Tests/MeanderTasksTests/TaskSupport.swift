import MeanderErrors
import MeanderFiles
import MeanderTasks
import MeanderTestSupport
import Testing

/// Options as a recipe writes them.
func options(_ json: String = "{}") throws -> Configuration {
  try Configuration(JSON.parse(FileBytes(Array(json.utf8), path: "recipe")), file: "recipe")
}

extension ExampleReader {
  /// Everything that is left, as text.
  mutating func wholeText() throws -> String {
    var bytes: [UInt8] = []
    while let part = try next() { bytes += part.bytes }
    return String(decoding: bytes, as: UTF8.self)
  }
}

extension Example {
  /// The example with its filler as a row of dots.
  var text: String {
    String(
      decoding: pieces.flatMap { piece -> [UInt8] in
        switch piece {
        case .text(let bytes), .echo(let bytes), .answer(let bytes): bytes
        case .filler(let count): [UInt8](repeating: UInt8(ascii: "."), count: count)
        }
      }, as: UTF8.self)
  }

  var answerTexts: [String] { answers.map { String(decoding: $0, as: UTF8.self) } }

  /// What stands before answer `place`, right answers to earlier questions included.
  func text(before place: Int) -> String {
    var example = Example()
    var seen = 0
    for piece in pieces {
      if case .answer = piece {
        if seen == place { break }
        seen += 1
      }
      example.append(piece)
    }
    return example.text
  }

  var fillerCount: Int {
    pieces.reduce(0) { if case .filler(let count) = $1 { $0 + count } else { $0 } }
  }
}
