import Testing

/// The layers, lowest first: a target imports only what stands before it. `Docs/Architecture.md` tells why.
private let layers = [
  "MeanderErrors", "CMeanderKernels", "CMeanderCatalog", "COpenBLAS", "CFFTW", "MeanderKernels", "MeanderFiles",
  "MeanderText", "MeanderModels", "Meander", "MeanderLongConvolution", "MeanderTasks", "MeanderTraining",
  "MeanderEvaluation", "MeanderCommand", "MeanderDistributed",
]

@Test func aTargetImportsOnlyWhatStandsBelowIt() throws {
  let sources = try Repository.sources(below: "Sources", endings: [".swift"])
  #expect(sources.count > 20)
  for source in sources {
    let target = String(source.path.split(separator: "/")[1])
    let level = try #require(layers.firstIndex(of: target), "\(target) has no place in the layers")
    for module in Repository.imports(of: source) {
      guard let other = layers.firstIndex(of: module) else { continue }
      #expect(other < level, "\(source.path) imports \(module), which does not stand below it")
    }
  }
}

@Test func systemLibrariesEnterThroughOneTargetEach() throws {
  let owners = ["CFFTW": "MeanderLongConvolution"]
  for source in try Repository.sources(below: "Sources", endings: [".swift"]) {
    for module in Repository.imports(of: source) {
      guard let owner = owners[module] else { continue }
      #expect(source.path.hasPrefix("Sources/\(owner)/"), "\(source.path) imports \(module)")
    }
  }
}

/// What is linked with FFTW is distributed under the GPL: the command may be, and nothing that people embed.
@Test func theLongConvolutionEntersThroughTheCommandAlone() throws {
  for source in try Repository.sources(below: "Sources", endings: [".swift"]) {
    guard Repository.imports(of: source).contains("MeanderLongConvolution") else { continue }
    #expect(source.path.hasPrefix("Sources/MeanderCommand/"), "\(source.path) imports MeanderLongConvolution")
  }
}

@Test func nothingImportsFoundationWhole() throws {
  for source in try Repository.sources(below: "Sources", endings: [".swift"]) {
    #expect(!Repository.imports(of: source).contains("Foundation"), "\(source.path) links 40 MB of Unicode data")
  }
}

@Test func unsafeCodeStaysInKernelsAndFiles() throws {
  let words = [
    "UnsafePointer", "UnsafeMutablePointer", "UnsafeRaw", "UnsafeMutableRaw", "UnsafeBuffer", "UnsafeMutableBuffer",
    "unsafeBitCast", "withUnsafe"
  ]
  for source in try Repository.sources(below: "Sources", endings: [".swift"]) {
    let allowed = ["Sources/MeanderKernels/", "Sources/MeanderFiles/", "Sources/MeanderLongConvolution/FourierPlan.swift"]
    if allowed.contains(where: { source.path.hasPrefix($0) }) { continue }
    for (number, line) in source.lines.enumerated() where words.contains(where: { line.contains($0) }) {
      Issue.record("\(source.path):\(number + 1) is unsafe code outside of MeanderKernels and MeanderFiles")
    }
  }
}

@Test func aFileFitsOneSitting() throws {
  for folder in ["Sources", "Tests", "Models", "Docs", "Benchmarks"] {
    for source in try Repository.sources(below: folder, endings: [".swift", ".c", ".h", ".inc"]) {
      #expect(source.lines.count <= 400, "\(source.path) has \(source.lines.count) lines")
    }
  }
}

@Test func thereIsOneTestFramework() throws {
  for source in try Repository.sources(below: "Tests", endings: [".swift"]) {
    #expect(!Repository.imports(of: source).contains("XCTest"), "\(source.path) imports XCTest")
  }
}

/// What embedders can see says what it is.
@Test func everyPublicDeclarationIsDocumented() throws {
  let keywords: Set<Substring> = [
    "let", "var", "func", "init", "struct", "class", "actor", "enum", "protocol", "typealias", "subscript", "case",
  ]
  var count = 0
  for target in ["Meander", "MeanderErrors", "MeanderText", "MeanderTraining"] {
    for source in try Repository.sources(below: "Sources/\(target)", endings: [".swift"]) {
      let lines = source.lines.map { $0.drop { $0 == " " } }
      for (number, line) in lines.enumerated() where line.hasPrefix("public ") {
        guard line.split(whereSeparator: { " (".contains($0) }).contains(where: keywords.contains) else { continue }
        count += 1
        let above = lines[..<number].last { !$0.hasPrefix("@") }
        #expect(above?.hasPrefix("///") == true, "\(source.path):\(number + 1): \(line)")
      }
    }
  }
  #expect(count > 100)
}
