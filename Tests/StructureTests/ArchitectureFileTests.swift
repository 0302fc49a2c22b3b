import Testing

/// An architecture is one file and one line in the registry.
@Suite struct ArchitectureFileTests {
  /// Architectures that others are built upon, with the files that may name them beside their own.
  private static let kin = [
    "HyenaModal": ["Distillation.swift"], "Mamba1": ["FalconMamba.swift"], "Mamba2": ["Mamba2+Initialization.swift"],
  ]
  /// Where it stands what other programs call an architecture's settings and tensors, a file for each that they know.
  private static let names = "/MeanderModels/GGUF/"

  @Test func anArchitectureIsNamedByItsFileAndTheRegistryAlone() throws {
    let sources = try Repository.sources(below: "Sources", endings: [".swift"])
    let registry = try #require(sources.first { $0.path.hasSuffix("MeanderModels/Registry.swift") })
    let types = registry.lines.compactMap { line -> String? in
      let word = line.drop { $0 == " " }
      guard word.hasSuffix(".self,") else { return nil }
      return String(word.dropLast(".self,".count))
    }
    let architectures = types.filter { type in
      sources.contains { $0.path.hasSuffix("/\(type).swift") && $0.text.contains("static let name = ") && $0.text.contains("build(") }
    }
    #expect(architectures.count >= 8)
    for type in architectures {
      let naming = sources.filter { Self.names(type, $0) && !$0.path.contains(Self.names) }.compactMap { $0.path.split(separator: "/").last.map(String.init) }
      let allowed = ["\(type).swift", "Registry.swift"] + (Self.kin[type] ?? [])
      #expect(Set(naming).subtracting(allowed).isEmpty, "\(type) is named by \(naming)")
    }
  }

  /// Whether code, not a comment, has the type's name as a word of its own.
  private static func names(_ type: String, _ source: Repository.Source) -> Bool {
    source.lines.contains { line in
      let code = line.split(separator: "//", maxSplits: 1, omittingEmptySubsequences: false)[0]
      return code.split { !($0.isLetter || $0.isNumber || $0 == "_") }.contains { $0 == type }
    }
  }
}
