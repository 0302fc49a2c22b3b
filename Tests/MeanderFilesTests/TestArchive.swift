import MeanderFiles

/// A zip archive in the making, for tests of what its reader refuses: each field can be made to lie.
struct TestArchive {
  struct Member {
    var name: String
    var data: [UInt8]
    var method: UInt16 = 0
    var flags: UInt16 = 0
    /// The size that both headers claim; the true one where nil.
    var claimed: UInt32?
    /// Where the directory says that the member starts; the true place where nil.
    var header: UInt32?
  }

  var members: [Member]
  var claimedCount: UInt16?
  var comment: [UInt8] = []
  /// Whether sizes and places stand in the 64-bit records.
  var is64 = false

  init(_ members: [Member]) { self.members = members }

  /// An archive of one pickle and the storages it names.
  init(pickle: [UInt8], storages: [(key: String, data: [UInt8])]) {
    self.init(
      [Member(name: "model/data.pkl", data: pickle)]
        + storages.map { Member(name: "model/data/\($0.key)", data: $0.data) })
  }

  func file(_ path: String = "test.bin") -> FileBytes { FileBytes(bytes(), path: path) }

  func bytes() -> [UInt8] {
    var output: [UInt8] = []
    var directory: [UInt8] = []
    for member in members {
      let place = UInt32(output.count)
      let size = member.claimed ?? UInt32(member.data.count)
      let name = Array(member.name.utf8)
      output +=
        little(UInt32(0x0403_4B50)) + little(UInt16(20)) + little(member.flags) + little(member.method)
      output +=
        [UInt8](repeating: 0, count: 8) + little(size) + little(size) + little(UInt16(name.count))
        + little(UInt16(0))
      output += name + member.data
      let extra =
        is64
        ? little(UInt16(1)) + little(UInt16(24)) + little(UInt64(size)) + little(UInt64(size))
          + little(UInt64(member.header ?? place)) : []
      directory +=
        little(UInt32(0x0201_4B50)) + little(UInt16(20)) + little(UInt16(20)) + little(member.flags)
      directory += little(member.method) + [UInt8](repeating: 0, count: 8)
      directory += little(is64 ? UInt32.max : size) + little(is64 ? UInt32.max : size)
      directory += little(UInt16(name.count)) + little(UInt16(extra.count)) + [UInt8](repeating: 0, count: 10)
      directory += little(is64 ? UInt32.max : member.header ?? place) + name + extra
    }
    return output + directory + end(start: output.count, size: directory.count)
  }

  private func end(start: Int, size: Int) -> [UInt8] {
    let count = claimedCount ?? UInt16(members.count)
    var output: [UInt8] = []
    if is64 {
      output +=
        little(UInt32(0x0606_4B50)) + little(UInt64(44)) + little(UInt32(0x002D_002D)) + little(UInt64(0))
      output += little(UInt64(count)) + little(UInt64(count)) + little(UInt64(size)) + little(UInt64(start))
      output +=
        little(UInt32(0x0706_4B50)) + little(UInt32(0)) + little(UInt64(start + size)) + little(UInt32(1))
    }
    output += little(UInt32(0x0605_4B50)) + little(UInt32(0))
    output += little(is64 ? UInt16.max : count) + little(is64 ? UInt16.max : count)
    output += little(is64 ? UInt32.max : UInt32(size)) + little(is64 ? UInt32.max : UInt32(start))
    return output + little(UInt16(comment.count)) + comment
  }
}

func little<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
  withUnsafeBytes(of: value.littleEndian) { [UInt8]($0) }
}

/// A pickled state dictionary, written instruction by instruction.
struct TestPickle {
  private(set) var bytes: [UInt8] = [0x80, 2, UInt8(ascii: "}"), UInt8(ascii: "(")]

  mutating func byte(_ byte: UInt8) { bytes.append(byte) }
  mutating func code(_ text: String) { bytes += Array(text.utf8) }
  mutating func name(_ name: String, of module: String) { code("c\(module)\n\(name)\n") }
  mutating func string(_ text: String) {
    bytes += [UInt8(ascii: "X")] + little(UInt32(text.utf8.count)) + Array(text.utf8)
  }
  mutating func integer(_ value: Int) { bytes += [0x8A, 8] + little(value) }

  mutating func tuple(_ values: [Int]) {
    code("(")
    for value in values { integer(value) }
    code("t")
  }

  /// One item of the dictionary: a view of storage `key`.
  mutating func tensor(
    _ name: String, _ storage: String, key: String, count: Int, offset: Int = 0, shape: [Int], strides: [Int]
  ) {
    string(name)
    self.name("_rebuild_tensor_v2", of: "torch._utils")
    code("((")
    string("storage")
    self.name(storage, of: "torch")
    string(key)
    string("cpu")
    integer(count)
    code("tQ")
    integer(offset)
    tuple(shape)
    tuple(strides)
    bytes.append(0x89)
    self.name("OrderedDict", of: "collections")
    code(")RtR")
  }

  /// The pickle, its dictionary closed.
  var finished: [UInt8] { bytes + Array("u.".utf8) }
}
