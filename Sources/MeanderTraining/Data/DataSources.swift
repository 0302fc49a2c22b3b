import MeanderErrors
import MeanderFiles

/// Every source that recipes can name: one file and one line here.
package enum DataSources {
  package static var all: [any RecipeSource.Type] { [
    StridedSource.self,
    TaskSource.self,
    TextSource.self,
  ] }

  /// The source that a recipe describes. Throws `.badData` for a kind that is not known, and for options that mean nothing.
  static func make(_ recipe: Recipe.SourceRecipe, file: String, _ context: SourceContext) throws -> any RecipeSource {
    guard let type = all.first(where: { $0.name == recipe.kind }) else {
      throw MeanderError(
        .badData, "there is no data source \"\(recipe.kind)\"", at: file,
        remedy: "Known: \(all.map { $0.name }.joined(separator: ", ")).")
    }
    var options = try Configuration(recipe.options, file: file)
    options.ignore(["source", "share"])
    let source = try type.init(&options, context)
    try options.finish()
    return source
  }
}
