import MeanderFiles
import MeanderTasks

/// The fillers of a task's part of a recipe.
enum TaskFillers {
  private static let kinds = ["classic", "newlines", "words", "text"]

  /// Reads `fillers`, `negatives`, `distractors` and `distracted`: what to draw from, and the part of it that is mined on the way.
  static func read(_ options: inout Configuration, _ context: SourceContext) throws -> (any Filler, MinedFiller?) {
    let folder = context.folder
    var mined: MinedFiller?
    var parts: [(share: Double, filler: any Filler)] = []
    if let value = options.value("fillers") {
      guard let list = value.array else { throw options.failure("fillers", "must be a list, it is \(value.kind)") }
      for entry in list {
        var filler = try Configuration(entry, file: options.file)
        parts.append((try filler.float("share", 1, in: 0...1e9), try part(&filler, folder: folder)))
        try filler.finish()
      }
      guard parts.contains(where: { $0.share > 0 }) else {
        throw options.failure("fillers", "has no filler with a share")
      }
    } else {
      parts = [(1, RepeatedFiller.classic)]
    }
    if var negatives = try options.object("negatives") {
      let snippets: any Filler
      if negatives.has("path") {
        snippets = try SnippetFiller(path(try negatives.string("path"), in: folder))
      } else {
        let made = try MinedFiller(&negatives, context)
        (mined, snippets) = (made, made)
      }
      let share = try negatives.float("share", 0.4, in: 0...1)
      try negatives.finish()
      let sum = parts.reduce(0) { $0 + $1.share }
      parts = parts.map { ($0.share / sum * (1 - share), $0.filler) } + [(share, snippets)]
    }
    let mixture = MixedFiller(parts)
    let spacing = try options.optionalInteger("distractors", in: 1...1 << 30)
    let distracted = try options.float("distracted", 1, in: 0...1)
    guard let spacing, distracted > 0 else { return (mixture, mined) }
    return (MixedFiller([(1 - distracted, mixture), (distracted, DistractedFiller(mixture, spacing: spacing))]), mined)
  }

  private static func part(_ options: inout Configuration, folder: String) throws -> any Filler {
    switch try options.string("kind", among: kinds) {
    case "classic": return RepeatedFiller.classic
    case "newlines": return RepeatedFiller.newlines
    case "words": return DrawnFiller.words
    default: return try TextFiller(options.strings("paths").map { path($0, in: folder) })
    }
  }

  static func path(_ path: String, in folder: String) -> String {
    path.hasPrefix("/") || folder.isEmpty ? path : "\(folder)/\(path)"
  }
}
