import Glibc
import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct ModelFilesTests {
  @Test func aFolderHasFiles() throws {
    let files = try ModelFiles.resolve(Fixture.path("mamba2-tied"), environment: [:])
    #expect(files.fileNames.contains("config.json") && files.fileNames == files.fileNames.sorted())
    #expect(try files.file("config.json")?.path.hasSuffix("mamba2-tied/config.json") == true)
    #expect(try files.file("tokenizer.json") == nil)
    for name in ["../mamba1/config.json", "..", ".", "", "/etc/hostname", "a/b"] {
      #expect(throws: MeanderError.self, "\(name)") { try files.file(name) }
    }
  }

  @Test func aWeightFileStandsForItsFolder() throws {
    let path = Fixture.path("mamba2-tied/model.safetensors")
    let files = try ModelFiles.resolve(path, environment: [:])
    #expect(files.weightFile == "model.safetensors" && files.name == path)
    #expect(try TensorStore.open(files).entries.count == 20)
    #expect(try files.file("config.json") != nil)
    #expect(throws: MeanderError.self) {
      try ModelFiles.resolve(Fixture.path("mamba2-tied/config.json"), environment: [:])
    }
  }

  @Test func aHubNameIsFoundInTheCache() throws {
    let folder = TemporaryFolder()
    let model = "hub/models--org--model-1.0"
    for path in ["hub", model, "\(model)/refs", "\(model)/snapshots", "\(model)/snapshots/0abc"] {
      mkdir(folder(path), 0o700)
    }
    try AtomicFile.write(folder("\(model)/refs/main"), bytes: Array("0abc\n".utf8))
    try AtomicFile.write(folder("\(model)/snapshots/0abc/config.json"), bytes: Array("{}".utf8))
    for environment in [
      ["HF_HUB_CACHE": folder("hub")], ["HF_HOME": folder.path],
      ["HF_HUB_CACHE": "", "HF_HOME": folder.path],
    ] {
      let files = try ModelFiles.resolve("org/model-1.0", environment: environment)
      #expect(files.fileNames == ["config.json"])
    }
    for environment in [["HOME": folder.path], [:]] {
      let error = #expect(throws: MeanderError.self) {
        try ModelFiles.resolve("org/model-1.0", environment: environment)
      }
      #expect(error?.code == .notFound)
      #expect(error?.remedy?.contains("hf download org/model-1.0") == true)
    }
    try AtomicFile.write(folder("\(model)/refs/main"), bytes: Array("../../../..".utf8))
    #expect(throws: MeanderError.self) {
      try ModelFiles.resolve("org/model-1.0", environment: ["HF_HOME": folder.path])
    }
  }

  @Test(arguments: ["no-such-model", "/no/such/model", "a/b/c", "../no-such-folder-of-models", "org/$(rm)", ""])
  func whatIsNowhereIsNotFound(_ name: String) {
    let error = #expect(throws: MeanderError.self) { try ModelFiles.resolve(name, environment: [:]) }
    #expect(error?.code == .notFound)
    #expect(error?.remedy?.contains("download") == false)
  }

  @Test func aFolderWithoutWeightsOrWithSeveralIsRefused() throws {
    let folder = TemporaryFolder()
    #expect(throws: MeanderError.self) { try TensorStore.open(ModelFiles(folder: folder.path)) }
    var writer = SafeTensorsWriter()
    try writer.add("a", [1], floats: [1])
    try writer.write(to: folder("a.safetensors"))
    #expect(try TensorStore.open(ModelFiles(folder: folder.path)).floats("a") == [1])
    try writer.write(to: folder("b.safetensors"))
    let error = #expect(throws: MeanderError.self) { try TensorStore.open(ModelFiles(folder: folder.path)) }
    #expect(error?.what.contains("a.safetensors, b.safetensors") == true)
  }

  @Test func anIndexIsHeldToItsShards() throws {
    let folder = TemporaryFolder()
    var writer = SafeTensorsWriter()
    try writer.add("a", [1], floats: [1])
    try writer.write(to: folder("one.safetensors"))
    try writer.write(to: folder("two.safetensors"))
    func open(_ map: [(String, JSON)]) throws -> TensorStore {
      let index = JSON([("weight_map", JSON(map))])
      try AtomicFile.write(folder("model.safetensors.index.json"), bytes: index.write())
      return try TensorStore.open(ModelFiles(folder: folder.path))
    }
    #expect(try open([("a", .string("one.safetensors"))]).floats("a") == [1])
    for map: [(String, JSON)] in [
      [], [("b", .string("one.safetensors"))], [("a", .string("none.safetensors"))], [("a", JSON(1))],
      [("a", .string("../one.safetensors"))],
    ] {
      #expect(throws: MeanderError.self) { try open(map) }
    }
    // The same tensor in two shards: which one is meant is not ours to guess.
    try writer.add("b", [1], floats: [1])
    try writer.write(to: folder("two.safetensors"))
    #expect(throws: MeanderError.self) {
      try open([("a", .string("one.safetensors")), ("b", .string("two.safetensors"))])
    }
  }
}

@Suite struct FileBytesTests {
  @Test func whatIsNoFileIsRefused() throws {
    let folder = TemporaryFolder()
    #expect(mkfifo(folder("pipe"), 0o600) == 0)
    for (path, code) in [
      (folder.path, MeanderError.Code.inputOutput), (folder("pipe"), .inputOutput),
      ("/dev/zero", .inputOutput),
      (folder("none"), .notFound),
    ] {
      let error = #expect(throws: MeanderError.self) { try FileBytes.mapping(path) }
      #expect(error?.code == code && error?.place == path)
    }
  }

  @Test func releasedPagesAreReadAgain() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("empty"), bytes: [])
    #expect(try FileBytes.mapping(folder("empty")).copy() == [])
    let pattern = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 7) }
    try AtomicFile.write(folder("file"), bytes: pattern)
    for bytes in [try FileBytes.mapping(folder("file")), FileBytes(pattern, path: "memory")] {
      #expect(bytes.copy() == pattern)
      bytes.release()
      #expect(bytes.copy(5000..<5100) == Array(pattern[5000..<5100]))
      #expect(bytes[99_999] == pattern[99_999] && bytes.count == 100_000)
    }
  }
}
