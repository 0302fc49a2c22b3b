import Foundation

/// The sources of this checkout, as text.
enum Repository {
  /// The checkout's root: this file stands at Tests/StructureTests.
  static let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
    .deletingLastPathComponent()

  struct Source: Sendable {
    let path: String
    let text: String
    var lines: [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
  }

  /// Every file below `folder` whose name ends in one of `endings`, sorted by path; build folders are passed
  /// over.
  static func sources(below folder: String, endings: [String]) throws -> [Source] {
    let base = root.appending(path: folder)
    let files = FileManager.default.enumerator(at: base, includingPropertiesForKeys: nil, options: [.skipsHiddenFiles])
    let paths = (files?.allObjects as? [URL] ?? []).filter { url in
      endings.contains { url.lastPathComponent.hasSuffix($0) }
    }
    return try paths.map { url in
      Source(
        path: String(url.path.dropFirst(root.path.count + 1)), text: try String(contentsOf: url, encoding: .utf8))
    }.sorted { $0.path < $1.path }
  }

  /// The modules that a Swift source imports.
  static func imports(of source: Source) -> [String] {
    source.lines.compactMap { line in
      let words = line.split(separator: " ")
      guard let keyword = words.firstIndex(of: "import"), keyword + 1 < words.count else { return nil }
      guard
        words[..<keyword].allSatisfy({ $0.hasPrefix("@") || ["public", "package", "internal", "private"].contains($0) })
      else { return nil }
      return String(words[keyword + 1])
    }
  }
}
