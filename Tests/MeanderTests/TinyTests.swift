import Meander
import MeanderFiles
import MeanderModelTiny
import MeanderTestSupport
import Testing

/// The shipped model for tests, from prompt to text: the same bytes on every machine, with every table and any number of threads.
@Suite struct TinyTests {
  static let prompt = "Licensed under the"
  /// What it says, greedily, in fp32.
  static let text = """
     Apache License, Version 2.0 (the "License");
       you may not use this file except in compliance with the License.
       You may obtain a copy of the License at

           http://www.apache.org/licenses/LICE
    """

  @Test(arguments: [1, 2]) func greedyTextIsItsText(threads: Int) async throws {
    let model = try await Model.load("tiny", engine: Engine(threads: threads))
    let session = try Session(model)
    try await session.feed(Self.prompt)
    var text = ""
    for try await token in session.generate(maximumTokens: 200) { text += token.text }
    #expect(text == Self.text)
    #expect(model.purposes == ["language"] && model.trainedLength == 256)
  }

  @Test func isSmall() throws {
    let files = ["config.json", "model.safetensors"].compactMap { ShippedFiles.bytes(model: "tiny", name: $0)?.count }
    #expect(files.count == 2 && files.reduce(0, +) < 300_000)
  }
}
