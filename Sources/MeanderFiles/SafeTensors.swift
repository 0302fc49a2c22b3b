import MeanderErrors

/// The safetensors layout: 8 bytes that count the header, the header (JSON), then the tensors' bytes without
/// a gap. As published with the `safetensors` library: https://huggingface.co/docs/safetensors.
enum SafeTensors {
  /// The largest header that is read, as in the reference implementation.
  static let largestHeader = 100_000_000

  /// The tensors and the metadata of a file. Every length and offset is checked against the file: tensors
  /// must fill the bytes after the header in some order, without gap or overlap.
  static func read(_ bytes: FileBytes) throws -> (tensors: [StoredTensor], metadata: [String: String]) {
    let header = try headerRange(bytes)
    guard let members = try JSON.parse(bytes, header).object?.members else {
      throw MeanderError(.badData, "the header must be an object", at: "\(bytes.path), byte 8")
    }
    var metadata: [String: String] = [:]
    var tensors: [StoredTensor] = []
    tensors.reserveCapacity(members.count)
    for member in members {
      if member.key == "__metadata__" {
        metadata = try readMetadata(member.value, bytes.path)
      } else {
        tensors.append(try tensor(member, bytes, dataStart: header.upperBound))
      }
    }
    try checkCoverage(tensors, bytes, dataStart: header.upperBound)
    return (tensors, metadata)
  }

  private static func headerRange(_ bytes: FileBytes) throws -> Range<Int> {
    let declared = bytes.withBytes { $0.number(0, as: UInt64.self) }
    guard let declared else {
      throw MeanderError(
        .badData, "the file has \(bytes.count) bytes, too few for a safetensors file",
        at: "\(bytes.path), byte 0")
    }
    guard declared <= UInt64(largestHeader), Int(declared) <= bytes.count - 8 else {
      throw MeanderError(
        .badData,
        "the header claims \(declared) bytes; \(bytes.count - 8) are there, and \(largestHeader) is the limit",
        at: "\(bytes.path), byte 0",
        remedy: isPointer(bytes)
          ? "This is what Git LFS keeps in place of a large file; fetch the file itself with `git lfs pull`."
          : "The file is cut short or is not a safetensors file; fetch it again.")
    }
    return 8..<8 + Int(declared)
  }

  private static func isPointer(_ bytes: FileBytes) -> Bool {
    let start = Array("version https://git-lfs".utf8)
    return bytes.count >= start.count && bytes.copy(0..<start.count) == start
  }

  private static func readMetadata(_ value: JSON, _ path: String) throws -> [String: String] {
    guard let members = value.object?.members else {
      throw MeanderError(.badData, "__metadata__ must be an object", at: path)
    }
    var metadata: [String: String] = [:]
    for member in members {
      guard let text = member.value.string else {
        throw MeanderError(
          .badData, "__metadata__ must hold strings, '\(member.key)' is \(member.value.kind)", at: path)
      }
      metadata[member.key] = text
    }
    return metadata
  }

  private static func tensor(
    _ member: JSONObject.Member, _ bytes: FileBytes, dataStart: Int
  ) throws -> StoredTensor {
    let place = "\(bytes.path), tensor \(member.key)"
    func failure(_ what: String) -> MeanderError { MeanderError(.badData, what, at: place) }

    guard let fields = member.value.object, Set(fields.keys) == ["dtype", "shape", "data_offsets"] else {
      throw failure("its header entry must hold dtype, shape and data_offsets, and nothing else")
    }
    guard let spelling = fields["dtype"]?.string else { throw failure("its dtype must be a string") }
    guard let type = ElementType(rawValue: spelling), type.blocks == nil else {
      throw failure("elements of type \(spelling) are not supported")
    }
    guard let sizes = fields["shape"]?.array, case let shape = sizes.compactMap(\.integer),
      shape.count == sizes.count,
      let entry = TensorEntry(name: member.key, type: type, shape: shape)
    else {
      throw failure("its shape must be a list of sizes whose product fits 63 bits")
    }
    guard let ends = fields["data_offsets"]?.array, ends.count == 2, let begin = ends[0].integer,
      let end = ends[1].integer, begin >= 0, begin <= end
    else {
      throw failure("its data_offsets must be two offsets in order")
    }
    guard end <= bytes.count - dataStart else {
      throw MeanderError(
        .badData, "it should end \(end) bytes after the header, where \(bytes.count - dataStart) are", at: place,
        remedy: "The file is cut short; fetch it again.")
    }
    guard end - begin == entry.byteCount else {
      throw failure(
        "\(type.rawValue) \(shape) takes \(entry.byteCount) bytes, its data_offsets span \(end - begin)")
    }
    return StoredTensor(entry: entry, bytes: bytes, offset: dataStart + begin, strides: nil)
  }

  private static func checkCoverage(_ tensors: [StoredTensor], _ bytes: FileBytes, dataStart: Int) throws {
    var end = dataStart
    for tensor in tensors.sorted(by: { ($0.offset, $0.entry.byteCount) < ($1.offset, $1.entry.byteCount) }) {
      guard tensor.offset == end else {
        throw MeanderError(
          .badData,
          tensor.offset < end ? "its bytes overlap another tensor's" : "there is a gap before its bytes",
          at: "\(bytes.path), tensor \(tensor.entry.name), byte \(tensor.offset)")
      }
      end += tensor.entry.byteCount
    }
    guard end == bytes.count else {
      throw MeanderError(
        .badData, "\(bytes.count - end) bytes belong to no tensor", at: "\(bytes.path), byte \(end)")
    }
  }
}
