import MeanderFiles
import MeanderTestSupport
import MeanderTraining
import Testing

/// The recipes in `Models/recipes` are ones that the trainer takes, and `tiny`'s log is what its recipe gives.
@Suite struct ShippedRecipeTests {
  static let folder = Fixture.path("../../Models")

  @Test func everyRecipeIsRead() throws {
    let names = try Folder.names(in: "\(Self.folder)/recipes").filter { $0.hasSuffix(".json") && !$0.hasSuffix("tokenizer.json") }
    #expect(names.contains("tiny.json") && names.count >= 3)
    for name in names { _ = try Recipe(path: "\(Self.folder)/recipes/\(name)") }
  }

  @Test func tinysLogIsWhatItsRecipeGives() throws {
    let trainer = try Trainer(try Recipe(path: "\(Self.folder)/recipes/tiny.json"), threads: 2)
    let file = try PackedFile("\(Self.folder)/tiny/log.jsonl.gz")
    var bytes: [UInt8] = []
    while let more = try file.read(1 << 16) { bytes += more }
    let log = bytes.split(separator: 0x0a)
    for line in log.prefix(4) {
      let values = try JSON.parse(FileBytes(Array(line), path: "log.jsonl"))
      let report = try trainer.advance()
      #expect(abs(report.loss - (values["loss"]?.double ?? 0)) < 1e-4, "step \(report.step)")
    }
    #expect(log.count == trainer.recipe.steps)
  }
}
