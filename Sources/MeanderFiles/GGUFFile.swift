import MeanderErrors

/// A GGUF file: metadata by key, then tensors (https://github.com/ggml-org/ggml/blob/master/docs/gguf.md), versions 2 and 3,
/// little-endian.
///
/// Reading costs the header alone. Every count, length, dimension and offset is held against the file before it is
/// used, so a file that lies costs no more than its own size.
package struct GGUFFile: Sendable {
  package let path: String
  package let metadata: GGUFMetadata
  private let bytes: FileBytes
  private let tensors: [StoredTensor]

  /// Whether `bytes` begins as such files do.
  package static func isOne(_ bytes: FileBytes) -> Bool { bytes.count >= 4 && bytes.copy(0..<4) == Array("GGUF".utf8) }

  /// Tensors of more dimensions do not exist.
  private static let mostDimensions = 4
  /// A key and a tensor take at least so many bytes each.
  private static let (smallestKey, smallestTensor) = (8 + 4 + 1, 8 + 4 + 8 + 4 + 8)

  package init(_ bytes: FileBytes) throws {
    (path, self.bytes) = (bytes.path, bytes)
    var reader = GGUFReader(bytes)
    let (tensorCount, keyCount) = try Self.counts(&reader)
    metadata = try GGUFMetadata(&reader, count: keyCount, bytes)
    tensors = try Self.tensors(&reader, count: tensorCount, metadata, bytes)
    try checkOverlap()
  }

  /// The tensors under the file's own names.
  package func store() throws -> TensorStore {
    try TensorStore(tensors, files: [bytes], metadata: metadata.texts, path: path)
  }

  private static func counts(_ reader: inout GGUFReader) throws -> (tensors: Int, keys: Int) {
    guard try reader.number(UInt32.self, "the magic number") == 0x4655_4747 else {
      throw reader.damaged("this is no GGUF file", at: 0)
    }
    let version = try reader.number(UInt32.self, "the version")
    guard version == 2 || version == 3 else {
      let isSwapped = version.byteSwapped == 2 || version.byteSwapped == 3
      throw MeanderError(
        .unsupported, isSwapped ? "this is a big-endian GGUF file" : "GGUF version \(version) is not understood",
        at: "\(reader.path), byte 4", remedy: "Versions 2 and 3 are, little-endian: convert the model again.")
    }
    let tensors = try reader.count(smallestItem: smallestTensor, "tensors")
    return (tensors, try reader.count(smallestItem: smallestKey, "keys"))
  }

  private static func tensors(
    _ reader: inout GGUFReader, count: Int, _ metadata: GGUFMetadata, _ bytes: FileBytes
  ) throws -> [StoredTensor] {
    let alignment = try metadata.alignment()
    let entries = try (0..<count).map { _ in try entry(&reader) }
    let start = (reader.place + alignment - 1) / alignment * alignment
    return try entries.map { entry, offset, place in
      guard offset.isMultiple(of: UInt64(alignment)) else {
        throw reader.damaged("tensor \(entry.name) begins at \(offset), no multiple of \(alignment)", at: place)
      }
      guard start <= bytes.count, let offset = Int(exactly: offset), offset <= bytes.count - start,
        entry.byteCount <= bytes.count - start - offset
      else {
        throw MeanderError(
          .badData,
          "\(entry.type.rawValue) \(entry.shape) takes \(entry.byteCount) bytes from \(offset) on, where "
            + "\(max(0, bytes.count - start)) are in all",
          at: "\(bytes.path), tensor \(entry.name)", remedy: "The file is cut short; fetch it again.")
      }
      return StoredTensor(entry: entry, bytes: bytes, offset: start + offset, strides: nil)
    }
  }

  private static func entry(_ reader: inout GGUFReader) throws -> (TensorEntry, offset: UInt64, place: Int) {
    let name = try reader.text("a tensor's name")
    let place = reader.place
    let dimensions = try reader.number(UInt32.self, "the dimensions of \(name)")
    guard (1...UInt32(mostDimensions)).contains(dimensions) else {
      throw reader.damaged("tensor \(name) has \(dimensions) dimensions, not 1 to \(mostDimensions)", at: place)
    }
    // The file counts from the innermost dimension.
    let shape = try (0..<dimensions).map { _ in
      let size = try reader.number(UInt64.self, "the shape of \(name)")
      guard size > 0, let size = Int(exactly: size) else {
        throw reader.damaged("a dimension of tensor \(name) is \(size)", at: place)
      }
      return size
    }
    let number = try reader.number(UInt32.self, "the type of \(name)")
    guard let type = ElementType(gguf: number) else {
      throw MeanderError(
        .unsupported, "tensor \(name) is of type \(number), which is not understood", at: "\(reader.path), byte \(place)",
        remedy: "Quantize the model to another type; Docs/Quantization.md lists those that are understood.")
    }
    guard let entry = TensorEntry(name: name, type: type, shape: shape.reversed()) else {
      throw reader.damaged(
        "\(shape.reversed()) of \(type.rawValue) is no whole number of blocks a row, or too large for 63 bits: tensor \(name)",
        at: place)
    }
    return (entry, try reader.number(UInt64.self, "the offset of \(name)"), place)
  }

  private func checkOverlap() throws {
    var end = 0
    for tensor in tensors.sorted(by: { $0.offset < $1.offset }) {
      guard tensor.offset >= end else {
        throw MeanderError(.badData, "its bytes overlap another tensor's", at: tensor.place)
      }
      end = tensor.offset + tensor.entry.byteCount
    }
  }
}

extension ElementType {
  /// The numbers that GGUF files call the types by.
  private static let numbers: [(UInt32, ElementType)] = [
    (0, .f32), (1, .f16), (2, .q4_0), (3, .q4_1), (6, .q5_0), (7, .q5_1), (8, .q8_0), (10, .q2_k), (11, .q3_k),
    (12, .q4_k), (13, .q5_k), (14, .q6_k), (20, .iq4_nl), (23, .iq4_xs), (24, .i8), (25, .i16), (26, .i32), (27, .i64),
    (28, .f64), (30, .bf16),
  ]

  init?(gguf number: UInt32) {
    guard let type = Self.numbers.first(where: { $0.0 == number })?.1 else { return nil }
    self = type
  }

  /// The type's number in GGUF files; nil where it has none.
  var ggufNumber: UInt32? { Self.numbers.first { $0.1 == self }?.0 }
}
