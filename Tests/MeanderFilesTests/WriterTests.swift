import Glibc
import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

private func sample() throws -> SafeTensorsWriter {
  var writer = SafeTensorsWriter()
  writer.metadata = ["format": "pt", "quote\"": "é\n"]
  try writer.add("text", .u8, [3], bytes: [1, 2, 3])
  try writer.add("state", [2, 3], floats: [1, -2, 3.5, .infinity, 0, -0.0])
  try writer.add("ids", [2], integers: [.min, .max])
  try writer.add("decay", [1, 1], doubles: [1e-300])
  try writer.add("empty", [0, 4], floats: [])
  try writer.add("scalar", [], floats: [7])
  return writer
}

private func read(_ path: String) throws -> [UInt8] { try FileBytes.mapping(path).copy() }

@Suite struct WriterTests {
  @Test func whatIsWrittenIsRead() throws {
    let folder = TemporaryFolder()
    let bytes = try sample().bytes()
    try sample().write(to: folder("a.safetensors"))
    #expect(try read(folder("a.safetensors")) == bytes)
    #expect(folder.names == ["a.safetensors"])
    let store = try TensorStore.open(safetensors: FileBytes(bytes, path: "memory"))
    #expect(store.metadata == ["format": "pt", "quote\"": "é\n"])
    #expect(try store.floats("state") == [1, -2, 3.5, .infinity, 0, -0.0])
    #expect(try store.doubles("decay") == [1e-300])
    #expect(try store.integers("ids") == [.min, .max])
    #expect(try store.bytes("text") == [1, 2, 3])
    #expect(try store.floats("empty") == [])
    #expect(try store.floats("scalar") == [7])
    #expect(store["scalar"]?.shape == [])
  }

  @Test func headersAreAlignedAndFilesArePrivate() throws {
    let folder = TemporaryFolder()
    try sample().write(to: folder("a"))
    var status = stat()
    #expect(stat(folder("a"), &status) == 0 && status.st_mode & 0o777 == 0o600)
    let header = try read(folder("a")).prefix(8).reversed().reduce(0) { $0 << 8 | Int($1) }
    #expect(header % 8 == 0)
  }

  @Test func tensorsThatContradictThemselvesAreRefused() throws {
    var writer = SafeTensorsWriter()
    #expect(throws: MeanderError.self) { try writer.add("a", [2], floats: [1]) }
    #expect(throws: MeanderError.self) { try writer.add("a", .f32, [-1, -1], bytes: [1, 2, 3, 4]) }
    #expect(throws: MeanderError.self) { try writer.add("a", .u8, [.max, 4], bytes: []) }
    try writer.add("a", [1], floats: [1])
    try writer.add("a", [1], floats: [1])
    #expect(throws: MeanderError.self) { try writer.bytes() }
  }

  @Test func aStreamIsAFileOnlyWhenItIsWhole() throws {
    let folder = TemporaryFolder()
    let entry = try #require(TensorEntry(name: "logits", type: .f32, shape: [2, 2]))
    do {
      let stream = try SafeTensorsStream(folder("a"), [entry])
      try stream.append([1, 2])
      #expect(throws: MeanderError.self) { try stream.commit() }
      #expect(throws: MeanderError.self) { try stream.append([1, 2, 3]) }
    }
    #expect(folder.names == [])
    let stream = try SafeTensorsStream(folder("a"), [entry])
    try stream.append([1, 2])
    try stream.append([3, 4])
    try stream.commit()
    #expect(try TensorStore.open(safetensors: .mapping(folder("a"))).floats("logits") == [1, 2, 3, 4])
  }
}

@Suite struct AtomicFileTests {
  private struct Halt: Error {}

  @Test func aFailedWriteLeavesTheOldFileAndNothingElse() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("state"), bytes: Array("old".utf8))
    #expect(throws: Halt.self) {
      try AtomicFile.write(folder("state")) {
        try $0.append([UInt8](repeating: 1, count: 1 << 20))
        throw Halt()
      }
    }
    #expect(try read(folder("state")) == Array("old".utf8))
    #expect(folder.names == ["state"])
  }

  @Test func whatAKilledWriterLeftIsUsedAgain() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder(".state.temporary"), bytes: [UInt8](repeating: 9, count: 100))
    try AtomicFile.write(folder("state"), bytes: [1, 2])
    #expect(try read(folder("state")) == [1, 2])
    #expect(folder.names == ["state"])
  }

  @Test func twoWritersOfOneFileAreRefused() throws {
    let folder = TemporaryFolder()
    let first = try AtomicFile(folder("state"))
    #expect(throws: MeanderError.self) { try AtomicFile(folder("state")) }
    try first.append([1])
    try first.commit()
    try AtomicFile.write(folder("state"), bytes: [2])
    #expect(try read(folder("state")) == [2])
  }

  @Test func linksAreFollowedAndDevicesWrittenDirectly() throws {
    let folder = TemporaryFolder()
    try AtomicFile.write(folder("target"), bytes: [1])
    #expect(symlink(folder("target"), folder("link")) == 0)
    try AtomicFile.write(folder("link"), bytes: [2])
    #expect(try read(folder("target")) == [2])
    #expect(folder.names == ["link", "target"])
    try AtomicFile.write("/dev/null", bytes: [1])
    let error = #expect(throws: MeanderError.self) { try AtomicFile.write("/dev/full", bytes: [1]) }
    #expect(error?.code == .inputOutput)
  }

  @Test func aMissingFolderIsNamed() {
    let folder = TemporaryFolder()
    let error = #expect(throws: MeanderError.self) { try AtomicFile.write(folder("none/state"), bytes: [1]) }
    #expect(error?.code == .notFound)
    #expect(throws: MeanderError.self) { try AtomicFile.write("/", bytes: [1]) }
  }

  /// A limit on the size of files stands for the full disk; it binds a whole process, so the test has one of
  /// its own.
  @Test func aFullDiskLeavesTheOldFileWhole() async {
    await #expect(processExitsWith: .success) {
      let folder = TemporaryFolder()
      try AtomicFile.write(folder("state"), bytes: Array("old".utf8))
      signal(SIGXFSZ, SIG_IGN)
      var limit = rlimit(rlim_cur: 1 << 16, rlim_max: 1 << 16)
      try #require(setrlimit(__rlimit_resource_t(RLIMIT_FSIZE.rawValue), &limit) == 0)
      var writer = SafeTensorsWriter()
      try writer.add("state", [1 << 18], floats: [Float](repeating: 1, count: 1 << 18))
      let full = writer
      let error = #expect(throws: MeanderError.self) { try full.write(to: folder("state")) }
      #expect(error?.code == .inputOutput)
      #expect(try read(folder("state")) == Array("old".utf8))
      #expect(folder.names == ["state"])
    }
  }
}
