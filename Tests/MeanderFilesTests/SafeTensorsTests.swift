import MeanderErrors
import MeanderFiles
import Testing

/// A file of this header and as many bytes of data.
private func file(_ header: String, data: Int, claimed: UInt64? = nil) -> FileBytes {
  let text = Array(header.utf8)
  return FileBytes(
    little(claimed ?? UInt64(text.count)) + text + [UInt8](repeating: 0, count: data),
    path: "test.safetensors")
}

private func refusal(_ bytes: FileBytes) -> String {
  let error = #expect(throws: MeanderError.self) { try TensorStore.open(safetensors: bytes) }
  #expect(error?.code == .badData)
  #expect(error?.place?.hasPrefix("test.safetensors") == true)
  return error?.description ?? ""
}

@Suite struct SafeTensorsTests {
  private func entry(_ name: String, _ type: String, _ shape: String, _ offsets: String) -> String {
    #""\#(name)":{"dtype":"\#(type)","shape":\#(shape),"data_offsets":\#(offsets)}"#
  }

  @Test(arguments: [0, 1, 7, 1 << 20, 100_000_001, 1 << 63, .max] as [UInt64])
  func headersThatDoNotFitAreRefused(_ claimed: UInt64) {
    #expect(refusal(file("{}", data: 0, claimed: claimed)).contains("byte "))
  }

  @Test func filesTooShortForAHeaderAreRefused() {
    for count in 0..<8 {
      let bytes = FileBytes([UInt8](repeating: 0, count: count), path: "test.safetensors")
      #expect(refusal(bytes).contains("\(count) bytes"))
    }
  }

  @Test func tensorsFillTheFileWithoutGapOrOverlap() throws {
    let a = entry("a", "F32", "[2]", "[0,8]")
    #expect(try TensorStore.open(safetensors: file("{\(a)}", data: 8)).floats("a") == [0, 0])
    let others: [(String, Int, String)] = [
      (entry("b", "F32", "[1]", "[4,8]"), 8, "overlap"), (entry("b", "F32", "[2]", "[0,8]"), 8, "overlap"),
      (entry("b", "F32", "[1]", "[12,16]"), 16, "gap"),
      (entry("b", "F32", "[1]", "[8,12]"), 13, "belong to no tensor"),
      (entry("a", "F32", "[1]", "[8,12]"), 12, "twice"),
    ]
    for (other, data, complaint) in others {
      #expect(refusal(file("{\(a),\(other)}", data: data)).contains(complaint))
    }
    // Tensors of no elements share their place with others.
    let empty = entry("b", "F32", "[0,9]", "[8,8]") + "," + entry("c", "F32", "[0]", "[0,0]")
    #expect(try TensorStore.open(safetensors: file("{\(empty),\(a)}", data: 8)).entries.count == 3)
  }

  @Test(arguments: [
    ("F32", "[2]", "[0,9]"), ("F32", "[2]", "[0,7]"), ("F32", "[2]", "[8,0]"), ("F32", "[2]", "[-8,0]"),
    ("F32", "[2]", "[0,4]"), ("F32", "[2]", "[9223372036854775800,9223372036854775807]"),
    ("F32", "[2]", "[0]"),
    ("F32", "[2]", "[0,8,8]"), ("F32", "[2]", "0"), ("F32", "[-2]", "[0,8]"), ("F32", "[1.5]", "[0,8]"),
    ("F32", "[\"2\"]", "[0,8]"), ("F32", "[4294967296,4294967296]", "[0,8]"), ("F32", "[1e400]", "[0,8]"),
    ("F32", "[9223372036854775807,2,0]", "[0,8]"), ("F4", "[16]", "[0,8]"), ("f32", "[2]", "[0,8]"),
  ])
  func entriesThatContradictTheFileAreRefused(_ type: String, _ shape: String, _ offsets: String) {
    #expect(refusal(file("{\(entry("weird", type, shape, offsets))}", data: 8)).contains("tensor weird"))
  }

  @Test func headersOfOtherFormsAreRefused() {
    for header in [
      "", "[]", "{", #"{"a":1}"#, #"{"a":{}}"#,
      #"{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"more":1}}"#,
      #"{"__metadata__":[]}"#, #"{"__metadata__":{"a":1}}"#,
    ] {
      _ = refusal(file(header, data: 0))
    }
  }
}
