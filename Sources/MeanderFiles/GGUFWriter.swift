import CMeanderKernels
import MeanderErrors

/// A GGUF file written piece by piece: metadata, names and shapes first, then every tensor in that order. Without `commit()` there
/// is no file.
package final class GGUFWriter {
  /// A value of metadata, in the types that other readers expect of the usual keys.
  package enum Value: Sendable {
    case text(String)
    case count(Int)
    case number(Double)
    case bool(Bool)
    case texts([[UInt8]])
    case counts([Int])
    case numbers([Double])
    /// The bytes of a value as another file holds it, its type before it.
    case copied([UInt8])
  }

  private let file: AtomicFile
  private let tensors: [TensorEntry]
  /// Of which tensor the next bytes are, and how many of it are left.
  private var current = 0
  private var left: Int

  private static let alignment = 32

  /// Starts the file. Shapes are given outermost dimension first.
  package init(_ path: String, metadata: [(key: String, value: Value)], tensors: [TensorEntry]) throws {
    self.tensors = tensors
    left = tensors.first?.byteCount ?? 0
    var header = Array("GGUF".utf8) + little(UInt32(3)) + little(UInt64(tensors.count)) + little(UInt64(metadata.count))
    for (key, value) in metadata { header += Self.text(Array(key.utf8)) + value.bytes }
    var offset = 0
    for tensor in tensors {
      guard let number = tensor.type.ggufNumber, (1...4).contains(tensor.shape.count) else {
        throw MeanderError(.badRequest, "\(tensor.type.rawValue) \(tensor.shape) has no place in a GGUF file", at: tensor.name)
      }
      header += Self.text(Array(tensor.name.utf8)) + little(UInt32(tensor.shape.count))
      header += tensor.shape.reversed().flatMap { little(UInt64($0)) } + little(number) + little(UInt64(offset))
      offset += Self.padded(tensor.byteCount)
    }
    header += [UInt8](repeating: 0, count: Self.padded(header.count) - header.count)
    file = try AtomicFile(path, mode: 0o644)
    try file.append(header)
  }

  private static func padded(_ count: Int) -> Int { (count + alignment - 1) / alignment * alignment }
  fileprivate static func text(_ bytes: [UInt8]) -> [UInt8] { little(UInt64(bytes.count)) + bytes }

  /// Appends bytes of the tensor whose turn it is, which must not be passed.
  package func append(_ bytes: [UInt8]) throws {
    guard bytes.count <= left else {
      throw MeanderError(.badRequest, "\(bytes.count) bytes come where \(left) are left", at: file.path)
    }
    try file.append(bytes)
    left -= bytes.count
    guard left == 0, current < tensors.count else { return }
    let size = tensors[current].byteCount
    try file.append([UInt8](repeating: 0, count: Self.padded(size) - size))
    current += 1
    left = current < tensors.count ? tensors[current].byteCount : 0
  }

  /// Appends finite numbers, rounded to `type`: F32, BF16, Q8_0, Q4_0 or Q4_K.
  package func append(_ values: [Float], as type: ElementType) throws {
    switch type {
    case .f32: try append(values.flatMap { little($0.bitPattern) })
    case .bf16: try append(Narrowing.bf16(values))
    default:
      guard let kind = type.blocks, values.count.isMultiple(of: type.blockCount) else {
        throw MeanderError(.badRequest, "\(values.count) numbers cannot be written as \(type.rawValue)", at: file.path)
      }
      guard values.allSatisfy(\.isFinite) else {
        throw MeanderError(.badData, "a number is not finite, and cannot be quantized", at: tensors[current].name)
      }
      var bytes = [UInt8](repeating: 0, count: values.count / type.blockCount * type.byteCount)
      // Safe: whole blocks, and room for all of their bytes.
      guard meander_encode_blocks(kind, values, values.count / type.blockCount, &bytes) else {
        throw MeanderError(.unsupported, "\(type.rawValue) is not written", at: file.path)
      }
      try append(bytes)
    }
  }

  /// Finishes the file; every declared byte must have come.
  package func commit() throws {
    guard current == tensors.count else {
      throw MeanderError(.badRequest, "tensors from \(tensors[current].name) on did not come", at: file.path)
    }
    try file.commit()
  }
}

private func little<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
  (0..<Number.bitWidth / 8).map { UInt8(truncatingIfNeeded: value >> Number(8 * $0)) }
}

extension GGUFWriter.Value {
  fileprivate var bytes: [UInt8] {
    func array(_ kind: UInt32, _ count: Int, _ values: some Sequence<UInt8>) -> [UInt8] {
      little(UInt32(9)) + little(kind) + little(UInt64(count)) + values
    }
    switch self {
    case .text(let text): return little(UInt32(8)) + GGUFWriter.text(Array(text.utf8))
    case .count(let count): return little(UInt32(4)) + little(UInt32(clamping: count))
    case .number(let number): return little(UInt32(6)) + little(Float(number).bitPattern)
    case .bool(let value): return little(UInt32(7)) + [value ? 1 : 0]
    case .texts(let texts): return array(8, texts.count, texts.lazy.flatMap { GGUFWriter.text($0) })
    case .counts(let counts): return array(5, counts.count, counts.lazy.flatMap { little(Int32(clamping: $0)) })
    case .numbers(let numbers): return array(6, numbers.count, numbers.lazy.flatMap { little(Float($0).bitPattern) })
    case .copied(let bytes): return bytes
    }
  }
}
