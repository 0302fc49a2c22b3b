import MeanderFiles
import MeanderTestSupport
import MeanderTraining
import Testing

/// The recipes in `Models/recipes` are ones that the trainer takes.
@Suite struct ShippedRecipeTests {
  static let folder = Fixture.path("../../Models")

  @Test func everyRecipeIsRead() throws {
    let names = try Folder.names(in: "\(Self.folder)/recipes").filter { $0.hasSuffix(".json") && !$0.hasSuffix("tokenizer.json") }
    #expect(names.contains("tiny.json") && names.count >= 3)
    for name in names { _ = try Recipe(path: "\(Self.folder)/recipes/\(name)") }
  }
}
