import MeanderErrors
import MeanderFiles
import MeanderTestSupport
import Testing

@Suite struct GGUFTests {
  private static let fixture = "gguf-quants/quants.gguf"

  /// Every type against the values that ggml's own Python package gives for it, bit for bit.
  @Test func everyTypeIsWidenedToItsGolden() throws {
    let store = try TensorStore.open(Fixture.bytes(Self.fixture))
    let golden = try Golden("gguf-quants")
    #expect(store.entries.count == 30)
    for (name, entry) in store.entries {
      #expect(entry.shape == (try golden.shape(name)), "\(name)")
      #expect(name.hasPrefix(entry.type.rawValue + "."), "\(name) is \(entry.type)")
      #expect(try store.floats(name) == golden.floats(name), "\(name)")
    }
  }

  /// One row at a time, as loading reads them.
  @Test func rowsAreRead() throws {
    let store = try TensorStore.open(Fixture.bytes(Self.fixture))
    var row: [Float] = []
    for (name, entry) in store.entries {
      let all = try store.floats(name)
      let width = entry.shape[1]
      for start in stride(from: 0, to: entry.count, by: width) {
        try store.floats(name, start..<start + width, into: &row)
        #expect(row == Array(all[start..<start + width]), "\(name)")
      }
    }
    #expect(throws: MeanderError.self) { try store.floats("Q4_K.3x512", 32..<288, into: &row) }
  }

  @Test func metadataOfEveryKindIsRead() throws {
    let metadata = try GGUFFile(Fixture.bytes(Self.fixture)).metadata
    #expect(try metadata.text("general.architecture") == "llama")
    #expect(try metadata.integer("fixture.uint32") == 4_000_000_000)
    #expect(try metadata.integer("fixture.int64") == -(1 << 40))
    #expect(try metadata.float("fixture.float64") == 0.1)
    #expect(try metadata.bool("fixture.bool") == true)
    #expect(
      try metadata.array("fixture.strings")?.texts().map { String(decoding: $0, as: UTF8.self) }
        == ["a", "naïve", "", "中文"])
    #expect(try metadata.array("fixture.floats")?.numbers() == [0.5, -1.25, 3])
    #expect(try metadata.integer("absent") == nil)
    #expect(throws: MeanderError.self) { try metadata.integer("general.name") }
    #expect(throws: MeanderError.self) { try metadata.array("fixture.strings")?.integers() }
  }

  /// A header of our own, to be made wrong.
  private struct Header {
    var magic = Array("GGUF".utf8)
    var version: UInt32 = 3
    var tensors: UInt64?
    var keys: UInt64?
    var entries: [[UInt8]] = []
    var shapes: [[UInt8]] = []
    var data = [UInt8](repeating: 0, count: 96)

    static func text(_ text: String, claiming count: UInt64? = nil) -> [UInt8] {
      little(count ?? UInt64(text.utf8.count)) + Array(text.utf8)
    }

    static func tensor(_ name: String, _ sizes: [UInt64], type: UInt32 = 0, offset: UInt64 = 0, dimensions: UInt32? = nil)
      -> [UInt8]
    {
      text(name) + little(dimensions ?? UInt32(sizes.count)) + sizes.flatMap { little($0) } + little(type) + little(offset)
    }

    var bytes: FileBytes {
      var bytes = magic + little(version) + little(tensors ?? UInt64(shapes.count)) + little(keys ?? UInt64(entries.count))
      bytes += (entries + shapes).joined()
      bytes += [UInt8](repeating: 0, count: (32 - bytes.count % 32) % 32)
      return FileBytes(bytes + data, path: "made.gguf")
    }
  }

  private func refusal(_ change: (inout Header) -> Void) -> MeanderError? {
    var header = Header()
    change(&header)
    do {
      _ = try GGUFFile(header.bytes)
      return nil
    } catch {
      return error as? MeanderError
    }
  }

  @Test func aSoundHeaderIsRead() {
    #expect(
      refusal {
        $0.entries = [Header.text("general.alignment") + little(UInt32(4)) + little(UInt32(32))]
        $0.shapes = [Header.tensor("a", [4, 2]), Header.tensor("b", [32], type: 2, offset: 64)]
      } == nil)
  }

  @Test func hostileHeadersAreRefused() throws {
    typealias Case = (change: (inout Header) -> Void, says: String)
    let key = Header.text("k")
    let cases: [Case] = [
      ({ $0.magic = Array("GGUX".utf8) }, "no GGUF file"),
      ({ $0.version = 1 }, "version 1"),
      ({ $0.version = UInt32(3).byteSwapped }, "big-endian"),
      ({ $0.tensors = .max }, "tensors are claimed"),
      ({ $0.keys = 1 << 40 }, "keys are claimed"),
      ({ $0.entries = [Header.text("k", claiming: .max)] }, "bytes of a key are claimed"),
      ({ $0.entries = [little(UInt64(1)) + [0xFF] + little(UInt32(4)) + little(UInt32(1))] }, "not UTF-8"),
      ({ $0.entries = [key + little(UInt32(13)) + little(UInt64(1))] }, "type 13"),
      ({ $0.entries = [key + little(UInt32(7)) + [2]] }, "neither true nor false"),
      ({ $0.entries = [key + little(UInt32(9)) + little(UInt32(9)) + little(UInt64(1))] }, "array of arrays"),
      ({ $0.entries = [key + little(UInt32(9)) + little(UInt32(4)) + little(UInt64.max)] }, "values of 'k' are claimed"),
      ({ $0.entries = [key + little(UInt32(9)) + little(UInt32(8)) + little(UInt64(3)) + little(UInt64(1) << 62)] },
        "bytes of 'k' are claimed"),
      ({ $0.entries = [key + little(UInt32(7)) + [1], key + little(UInt32(7)) + [1]] }, "stands twice"),
      ({ $0.entries = [Header.text("general.alignment") + little(UInt32(4)) + little(UInt32(0))] }, "power of two"),
      ({ $0.entries = [Header.text("general.alignment") + little(UInt32(4)) + little(UInt32(24))] }, "power of two"),
      ({ $0.shapes = [Header.tensor("a", [1 << 40, 1 << 40])] }, "too large"),
      ({ $0.shapes = [Header.tensor("a", [1 << 32, 1 << 30], type: 24)] }, "takes"),
      ({ $0.shapes = [Header.tensor("a", [.max])] }, "dimension"),
      ({ $0.shapes = [Header.tensor("a", [0])] }, "dimension"),
      ({ $0.shapes = [Header.tensor("a", [1], dimensions: 0)] }, "dimensions"),
      ({ $0.shapes = [Header.tensor("a", [1], dimensions: .max)] }, "dimensions"),
      ({ $0.shapes = [Header.tensor("a", [33], type: 2)] }, "blocks"),
      ({ $0.shapes = [Header.tensor("a", [32], type: 16)] }, "type 16"),
      ({ $0.shapes = [Header.tensor("a", [32], type: .max)] }, "type"),
      ({ $0.shapes = [Header.tensor("a", [4], offset: 1)] }, "no multiple"),
      ({ $0.shapes = [Header.tensor("a", [4], offset: 1 << 62)] }, "takes"),
      ({ $0.shapes = [Header.tensor("a", [4], offset: 0xFFFF_FFFF_FFFF_FFE0)] }, "takes"),
      ({ $0.shapes = [Header.tensor("a", [24], offset: 32)] }, "takes"),
      ({ $0.shapes = [Header.tensor("a", [16]), Header.tensor("b", [4], offset: 32)] }, "overlap"),
    ]
    for (index, (change, says)) in cases.enumerated() {
      let error = try #require(refusal(change), "case \(index), \(says), was read")
      #expect(error.what.contains(says), "case \(index): \(error.what)")
      #expect(error.place?.contains("made.gguf") == true, "case \(index)")
    }
    #expect(throws: MeanderError.self) {
      var header = Header()
      header.shapes = [Header.tensor("a", [4]), Header.tensor("a", [4], offset: 32)]
      _ = try GGUFFile(header.bytes).store()
    }
  }

  @Test func everyCutIsRefused() throws {
    let bytes = try Fixture.bytes(Self.fixture).copy()
    // The last tensor is padded to 32 bytes.
    for count in stride(from: 0, to: bytes.count - 32, by: 7) {
      #expect(throws: MeanderError.self, "\(count) bytes") {
        _ = try GGUFFile(FileBytes(Array(bytes[..<count]), path: "cut.gguf"))
      }
    }
  }
}
