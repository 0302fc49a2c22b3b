import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

private func halves(_ values: [UInt16]) -> [UInt8] { values.flatMap { little($0) } }

private func refusal(_ bytes: FileBytes) -> String {
  let error = #expect(throws: MeanderError.self) { try TensorStore.open(bytes) }
  #expect(error?.code == .badData)
  return error?.description ?? ""
}

private func refusal(of pickle: TestPickle, storages: [(key: String, data: [UInt8])] = []) -> String {
  refusal(TestArchive(pickle: pickle.finished, storages: storages).file())
}

@Suite struct TorchCheckpointTests {
  /// The original layout and Hugging Face's hold the same weights under other names.
  @Test(arguments: ["mamba1", "mamba2-tied", "mamba2-defaults"])
  func theOriginalLayoutHoldsTheSameWeights(_ name: String) throws {
    let original = try TensorStore.open(Fixture.model("\(name)-original"))
    let published = try TensorStore.open(Fixture.model(name))
    var compared = 0
    for entry in original.entries.values {
      let renamed = entry.name.replacing("backbone.embedding.", with: "backbone.embeddings.")
      guard let other = published[renamed] else {
        #expect(entry.name == "lm_head.weight")
        continue
      }
      let values = try original.floats(entry.name)
      let reference = try published.floats(renamed)
      let shared = min(values.count, reference.count)
      #expect(entry.shape.dropFirst() == other.shape.dropFirst())
      #expect(values.prefix(shared) == reference.prefix(shared))
      compared += 1
    }
    #expect(compared == published.entries.count)
    #expect(try original.floats("lm_head.weight") == original.floats("backbone.embedding.weight"))
  }

  @Test(arguments: [false, true])
  func viewsAreGatheredInRowMajorOrder(_ is64: Bool) throws {
    var pickle = TestPickle()
    pickle.tensor("whole", "FloatStorage", key: "0", count: 6, shape: [2, 3], strides: [3, 1])
    pickle.tensor("transposed", "FloatStorage", key: "0", count: 6, shape: [3, 2], strides: [1, 3])
    pickle.tensor("column", "FloatStorage", key: "0", count: 6, offset: 2, shape: [2, 1], strides: [3, 1])
    pickle.tensor(
      "empty", "FloatStorage", key: "0", count: 6, offset: 6, shape: [0, .max], strides: [.max, 1])
    pickle.tensor("scalar", "HalfStorage", key: "1", count: 3, offset: 1, shape: [], strides: [])
    let floats = [Float](arrayLiteral: 0, 1, 2, 3, 4, 5).flatMap { little($0.bitPattern) }
    var archive = TestArchive(
      pickle: pickle.finished, storages: [("0", floats), ("1", halves([0x3C00, 0xC000, 0x7C00]))])
    archive.is64 = is64
    archive.comment = Array("PK\u{5}\u{6} a comment that looks like an end".utf8)
    let store = try TensorStore.open(archive.file())
    #expect(try store.floats("whole") == [0, 1, 2, 3, 4, 5])
    #expect(try store.floats("transposed") == [0, 3, 1, 4, 2, 5])
    var middle: [Float] = []
    try store.floats("transposed", 2..<5, into: &middle)
    #expect(middle == [1, 4, 2])
    #expect(try store.floats("column") == [2, 5])
    #expect(try store.floats("empty") == [])
    #expect(try store.floats("scalar") == [-2])
  }

  @Test func viewsThatLeaveTheirStorageAreRefused() {
    let views: [(offset: Int, shape: [Int], strides: [Int])] = [
      (0, [7], [1]), (1, [6], [1]), (0, [2, 3], [4, 1]), (0, [2], [.max]), (0, [2], [-1]), (-1, [1], [1]),
      (7, [0], [1]),
      (0, [1 << 40], [0]), (0, [.max, .max], [0, 0]), (0, [-2, -3], [3, 1]), (0, [2, 3], [1]),
    ]
    for view in views {
      var pickle = TestPickle()
      pickle.tensor(
        "view", "FloatStorage", key: "0", count: 6, offset: view.offset, shape: view.shape,
        strides: view.strides)
      #expect(
        refusal(of: pickle, storages: [("0", [UInt8](repeating: 0, count: 24))]).contains("tensor view"))
    }
    for (count, data) in [(5, 24), (6, 23), (Int.max, 24), (6, 0)] {
      var pickle = TestPickle()
      pickle.tensor("view", "FloatStorage", key: "0", count: count, shape: [1], strides: [1])
      #expect(
        refusal(of: pickle, storages: [("0", [UInt8](repeating: 0, count: data))]).contains("tensor view"))
    }
    var pickle = TestPickle()
    pickle.tensor("view", "FloatStorage", key: "absent", count: 6, shape: [1], strides: [1])
    #expect(refusal(of: pickle).contains("storage 'absent' is missing"))
  }

  @Test func whatIsNotOnTheListIsRefusedByName() {
    func pickle(_ code: (inout TestPickle) -> Void) -> TestPickle {
      var pickle = TestPickle()
      code(&pickle)
      return pickle
    }
    let call = pickle {
      $0.name("system", of: "posix")
      $0.code("(")
      $0.string("true")
      $0.code("tR")
    }
    #expect(refusal(of: call).contains("posix.system"))
    #expect(refusal(of: pickle { $0.name("eval", of: "builtins") }).contains("builtins.eval"))
    #expect(refusal(of: pickle { $0.name("OrderedDict.fromkeys", of: "collections") }).contains("fromkeys"))
    for (code, name) in [("\u{0}", "0x0"), ("i", "INST"), ("o", "OBJ"), ("2", "DUP"), ("0", "POP")] {
      #expect(refusal(of: pickle { $0.code(code) }).contains(" \(name) "))
    }
    // Called with what it does not take, and built from what is no dictionary.
    let misused = pickle {
      $0.name("OrderedDict", of: "collections")
      $0.tuple([1])
      $0.code("R")
    }
    #expect(refusal(of: misused).contains("OrderedDict"))
    let built = pickle {
      $0.name("FloatStorage", of: "torch")
      $0.code("}b")
    }
    #expect(refusal(of: built).contains("attributes"))
  }

  /// A hostile pickle costs time and memory as its bytes do, however deep its stack or its containers.
  @Test(.timeLimit(.minutes(1)), arguments: ["nested lists", "nested tuples", "marks", "references to references"])
  func hostilePicklesEndQuickly(_ kind: String) {
    let count = 300_000
    var pickle = TestPickle()
    switch kind {
    case "nested lists":
      pickle.code(String(repeating: "]", count: count) + String(repeating: "a", count: count - 1))
    case "nested tuples":
      pickle.code("]")
      for _ in 0..<count { pickle.byte(0x85) }
    case "marks": pickle.code(String(repeating: "](", count: count))
    default:
      pickle.code("]q\u{0}")
      for _ in 0..<count / 4 {
        pickle.code("h\u{0}h\u{0}")
        pickle.byte(0x86)
        pickle.code("q\u{0}")
      }
    }
    _ = refusal(of: pickle)
  }

  @Test func bareAndForeignFilesAreTold() {
    #expect(refusal(FileBytes([0x80, 2, 0x8A, 0x0A], path: "old.bin")).contains("before version 1.6"))
    #expect(refusal(FileBytes([], path: "empty.bin")).contains("too few"))
    let pointer = Array("version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n".utf8)
    #expect(refusal(FileBytes(pointer, path: "pointer.bin")).contains("git lfs pull"))
    #expect(refusal(TestArchive([.init(name: "a/other", data: [])]).file()).contains("0 pickles"))
  }
}

@Suite struct ZipArchiveTests {
  private func member(_ name: String, _ change: (inout TestArchive.Member) -> Void = { _ in })
    -> TestArchive.Member
  {
    var member = TestArchive.Member(name: name, data: Array("some data".utf8))
    change(&member)
    return member
  }

  @Test func archivesThatLieAreRefused() {
    let good = member("model/data.pkl")
    #expect(refusal(TestArchive([member("model/data.pkl") { $0.method = 8 }]).file()).contains("compressed"))
    #expect(refusal(TestArchive([member("model/data.pkl") { $0.flags = 1 }]).file()).contains("encrypted"))
    #expect(refusal(TestArchive([good, good]).file()).contains("twice"))
    #expect(
      refusal(TestArchive([member("model/data.pkl") { $0.claimed = 1 << 30 }]).file()).contains(
        "passes the end"))
    #expect(refusal(TestArchive([good, member("b") { $0.header = 0 }]).file()).contains("contradicts"))
    #expect(
      refusal(TestArchive([member("model/data.pkl") { $0.header = 1 << 30 }]).file()).contains(
        "does not start"))
    var counted = TestArchive([good])
    counted.claimedCount = 2
    #expect(refusal(counted.file()).contains("does not fit"))
  }

  /// A member inside another's data: its own headers are right, and the bytes belong to both.
  @Test func membersInsideOthersAreRefused() {
    let inner = TestArchive([member("inner")]).bytes()
    var outer = TestArchive([
      member("model/data.pkl") { $0.data = inner },
      member("inner") { $0.header = UInt32(30 + "model/data.pkl".utf8.count) },
    ])
    outer.members[1].data = Array("some data".utf8)
    #expect(refusal(outer.file()).contains("share bytes"))
  }

  @Test func everyTruncationIsRefused() {
    let whole = TestArchive([member("model/data.pkl"), member("model/data/0")]).bytes()
    for count in 4..<whole.count { _ = refusal(FileBytes(Array(whole.prefix(count)), path: "cut.bin")) }
  }
}
