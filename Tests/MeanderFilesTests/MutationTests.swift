import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

/// Good files, spoiled in every way that a seeded generator comes upon: what reads them either succeeds or
/// throws a `MeanderError`, and never anything else.
@Suite struct MutationTests {
  private static let rounds = 10_000

  /// `bytes` after one to four flips, cuts, insertions and splices, most of them inside `structure`.
  private func mutated(_ bytes: [UInt8], _ structure: [Range<Int>], _ generator: inout SeededGenerator)
    -> [UInt8]
  {
    var output = bytes
    for _ in 0..<Int.random(in: 1...4, using: &generator) {
      if output.isEmpty { return output }
      let range = structure.randomElement(using: &generator) ?? 0..<output.count
      let anywhere = Int.random(in: 0..<8, using: &generator) == 0
      let place = min(
        Int.random(in: anywhere ? 0..<output.count : range, using: &generator), output.count - 1)
      switch Int.random(in: 0..<16, using: &generator) {
      case 0..<5: output[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
      case 5..<9:
        output[place] = [0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x2D, 0x39].randomElement(using: &generator) ?? 0
      case 9: output.removeLast(output.count - place)
      case 10: output.insert(UInt8.random(in: 0...255, using: &generator), at: place)
      case 11: output.remove(at: place)
      case 12: for index in place..<min(place + 8, output.count) { output[index] = 0xFF }
      default:
        let count = Int.random(in: 1...24, using: &generator)
        let source = Int.random(in: range, using: &generator)
        let run = output[min(source, output.count)..<min(source + count, output.count)]
        output.replaceSubrange(place..<min(place + run.count, output.count), with: Array(run))
      }
    }
    return output
  }

  /// How many of the mutations of `bytes` were refused; anything but success or a `MeanderError` fails the
  /// test.
  private func refused(
    _ bytes: [UInt8], structure: [Range<Int>] = [], seed: UInt64, _ read: (FileBytes) throws -> Void
  ) -> Int {
    var generator = SeededGenerator(seed: seed)
    var refused = 0
    for round in 0..<Self.rounds {
      do {
        try read(FileBytes(mutated(bytes, structure, &generator), path: "mutation \(round)"))
      } catch is MeanderError {
        refused += 1
      } catch {
        Issue.record("mutation \(round) of seed \(seed) ended in \(error)")
      }
    }
    return refused
  }

  /// Opens the store and reads all it claims to hold.
  private func readAll(_ store: TensorStore) throws {
    for entry in store.entries.values {
      switch entry.type {
      case .i64, .i32, .i16, .i8, .u64, .u32, .u16, .u8, .bool: _ = try store.integers(entry.name)
      default: _ = try store.floats(entry.name)
      }
    }
  }

  @Test func safetensors() throws {
    var writer = SafeTensorsWriter()
    writer.metadata = ["format": "pt"]
    for (index, type) in ElementType.allCases.filter({ $0.blocks == nil }).enumerated() {
      try writer.add(
        "tensor.\(index)", type, [index, 2], bytes: [UInt8](repeating: 63, count: index * 2 * type.byteCount))
    }
    let bytes = try writer.bytes()
    let refused = refused(bytes, structure: [0..<8, 8..<bytes.count - 400], seed: 1) {
      try readAll(TensorStore.open(safetensors: $0))
    }
    #expect(refused > Self.rounds / 2)
  }

  @Test func torchCheckpoints() throws {
    var pickle = TestPickle()
    pickle.tensor("weight", "FloatStorage", key: "0", count: 6, shape: [2, 3], strides: [3, 1])
    pickle.tensor("turned", "FloatStorage", key: "0", count: 6, shape: [3, 2], strides: [1, 3])
    pickle.tensor("bias", "BFloat16Storage", key: "1", count: 2, shape: [2], strides: [1])
    for is64 in [false, true] {
      var archive = TestArchive(
        pickle: pickle.finished,
        storages: [("0", [UInt8](repeating: 1, count: 24)), ("1", [UInt8](repeating: 2, count: 4))])
      archive.is64 = is64
      let refused = refused(archive.bytes(), seed: is64 ? 2 : 3) { try readAll(TensorStore.open($0)) }
      #expect(refused > Self.rounds / 2)
    }
  }

  /// A file as PyTorch wrote it: the pickle at its start and the directory at its end take most of the
  /// mutations.
  @Test func publishedCheckpoints() throws {
    let bytes = try Fixture.bytes("mamba2-tied-original/pytorch_model.bin").copy()
    let refused = refused(bytes, structure: [0..<2200, bytes.count - 2600..<bytes.count], seed: 4) {
      let store = try TensorStore.open($0)
      for entry in store.entries.values where entry.count < 1000 { _ = try store.floats(entry.name) }
    }
    #expect(refused > Self.rounds / 2)
  }

  @Test func quantizedFiles() throws {
    let bytes = try Fixture.bytes("gguf-quants/quants.gguf").copy()
    let refused = refused(bytes, structure: [0..<24, 24..<bytes.count - 28_200], seed: 8) {
      let file = try GGUFFile($0)
      for key in file.metadata.keys { _ = try? file.metadata.array(key)?.texts() }
      try readAll(file.store())
    }
    #expect(refused > Self.rounds / 3)
  }

  @Test(arguments: [
    "mamba2-tied/config.json", "mamba2-tied/config_v4.json", "mamba2-defaults-original/config.json",
  ])
  func configurations(_ name: String) throws {
    let refused = refused(try Fixture.bytes(name).copy(), seed: 5) { bytes in
      var configuration = try Configuration(JSON.parse(bytes), file: bytes.path)
      _ = try configuration.optionalInteger("vocab_size", in: 1...1_000_000)
      _ = try configuration.optionalFloat("layer_norm_epsilon", in: 0...1)
      _ = try configuration.floats("time_step_limit", [0, 1], count: 2)
      _ = try configuration.bool("rms_norm", true)
      try configuration.object("ssm_cfg")?.finish()
      try configuration.finish()
    }
    #expect(refused > Self.rounds / 2)
  }

  @Test func documents() throws {
    let text =
      #"{"a":[1,-2.5e-3,true,null,{"b":"\u00e9\ud83d\ude00\n é😀"}],"c":{},"d":[[],[[]]],"e":Infinity,"f":-0}"#
    let refused = refused(Array(text.utf8), seed: 6) { bytes in
      let value = try JSON.parse(bytes)
      let again = try JSON.parse(FileBytes(value.write(), path: bytes.path))
      // NaN, the infinities and so on become objects when written, and those are written as they are.
      #expect(again.write() == value.write())
    }
    #expect(refused > Self.rounds / 2)
  }

  @Test func indices() throws {
    let files = Fixture.model("llama-rope-scaled-f16-sharded")
    let folder = TemporaryFolder()
    for name in files.fileNames where name.hasSuffix(".safetensors") {
      try AtomicFile.write(folder(name), bytes: files.requiredFile(name).copy())
    }
    let index = try files.requiredFile("model.safetensors.index.json")
    let refused = refused(index.copy(), seed: 7) {
      _ = try TensorStore.open(shardsOf: $0, ModelFiles(folder: folder.path))
    }
    #expect(refused > Self.rounds / 4)
  }
}
