import MeanderErrors

/// Tensors and metadata on their way into a safetensors file, which Python's `safetensors` opens.
///
/// What is added is held until it is written; tensors too large for that go through `SafeTensorsStream`.
package struct SafeTensorsWriter {
  private enum Contents {
    case bytes([UInt8])
    case floats([Float])
    case doubles([Double])
    case integers([Int64])

    func withBytes<Result>(_ body: (RawSpan) throws -> Result) rethrows -> Result {
      switch self {
      case .bytes(let values): try body(values.span.bytes)
      case .floats(let values): try body(values.span.bytes)
      case .doubles(let values): try body(values.span.bytes)
      case .integers(let values): try body(values.span.bytes)
      }
    }
  }

  /// What the file says of itself.
  package var metadata: [String: String] = [:]
  private var tensors: [(entry: TensorEntry, contents: Contents)] = []

  package init() {}

  /// Adds a tensor of any type, given as its little-endian bytes.
  package mutating func add(_ name: String, _ type: ElementType, _ shape: [Int], bytes: [UInt8]) throws {
    try add(name, type, shape, .bytes(bytes))
  }

  /// Adds a tensor of F32.
  package mutating func add(_ name: String, _ shape: [Int], floats: [Float]) throws {
    try add(name, .f32, shape, .floats(floats))
  }

  /// Adds a tensor of F64.
  package mutating func add(_ name: String, _ shape: [Int], doubles: [Double]) throws {
    try add(name, .f64, shape, .doubles(doubles))
  }

  /// Adds a tensor of I64.
  package mutating func add(_ name: String, _ shape: [Int], integers: [Int64]) throws {
    try add(name, .i64, shape, .integers(integers))
  }

  private mutating func add(_ name: String, _ type: ElementType, _ shape: [Int], _ contents: Contents) throws
  {
    let count = contents.withBytes { $0.byteCount }
    guard let entry = TensorEntry(name: name, type: type, shape: shape), entry.byteCount == count else {
      throw MeanderError(
        .badRequest, "\(count) bytes do not fill \(type.rawValue) \(shape)", at: "tensor \(name)")
    }
    tensors.append((entry, contents))
  }

  /// The tensors in the file's order: wider elements first, so that each is aligned; else as they were added.
  private var ordered: [(entry: TensorEntry, contents: Contents)] {
    tensors.enumerated().sorted {
      ($1.element.entry.type.byteCount, $0.offset) < ($0.element.entry.type.byteCount, $1.offset)
    }.map(\.element)
  }

  /// The file's bytes.
  package func bytes() throws -> [UInt8] {
    let ordered = ordered
    var output = try SafeTensors.header(ordered.map(\.entry), metadata)
    output.reserveCapacity(output.count + ordered.reduce(0) { $0 + $1.entry.byteCount })
    for tensor in ordered {
      tensor.contents.withBytes { span in span.withUnsafeBytes { output.append(contentsOf: $0) } }
    }
    return output
  }

  /// Writes the file, atomically (`AtomicFile`).
  package func write(to path: String, mode: UInt16 = 0o600) throws {
    let ordered = ordered
    let stream = try SafeTensorsStream(path, ordered.map(\.entry), metadata: metadata, mode: mode)
    for tensor in ordered { try tensor.contents.withBytes { try stream.append($0) } }
    try stream.commit()
  }
}

/// A safetensors file written piece by piece: names and shapes first, then all elements in that order.
/// Without `commit()` there is no file.
package final class SafeTensorsStream {
  private let file: AtomicFile
  private var left: Int

  /// Starts the file. `tensors` must stand in an order that never goes from narrower elements to wider ones.
  package init(
    _ path: String, _ tensors: [TensorEntry], metadata: [String: String] = [:], mode: UInt16 = 0o600
  ) throws {
    let header = try SafeTensors.header(tensors, metadata)
    file = try AtomicFile(path, mode: mode)
    left = tensors.reduce(0) { $0 + $1.byteCount }
    try file.append(header)
  }

  /// Appends elements of F32.
  package func append(_ values: [Float]) throws { try append(values.span.bytes) }

  /// Appends the little-endian bytes of elements.
  package func append(_ bytes: RawSpan) throws {
    guard bytes.byteCount <= left else {
      throw MeanderError(.badRequest, "\(bytes.byteCount) bytes come where \(left) are left", at: file.path)
    }
    try file.append(bytes)
    left -= bytes.byteCount
  }

  /// Finishes the file; every declared byte must have come.
  package func commit() throws {
    guard left == 0 else {
      throw MeanderError(.badRequest, "\(left) bytes of tensors did not come", at: file.path)
    }
    try file.commit()
  }
}

extension SafeTensors {
  /// The length and the header of a file that holds `tensors` one after the other, padded to 8 bytes with
  /// spaces.
  static func header(_ tensors: [TensorEntry], _ metadata: [String: String]) throws -> [UInt8] {
    var members: [(String, JSON)] = []
    if !metadata.isEmpty {
      members.append(
        ("__metadata__", JSON(metadata.sorted { $0.key < $1.key }.map { ($0.key, .string($0.value)) })))
    }
    var offset = 0
    for tensor in tensors {
      let (end, overflow) = offset.addingReportingOverflow(tensor.byteCount)
      guard !overflow, offset % tensor.type.byteCount == 0 else {
        throw MeanderError(
          .badRequest, "the tensor would not be aligned", at: "tensor \(tensor.name)",
          remedy: "Give tensors of wider elements first.")
      }
      members.append(
        (
          tensor.name,
          JSON([
            ("dtype", .string(tensor.type.rawValue)), ("shape", .array(tensor.shape.map { JSON($0) })),
            ("data_offsets", .array([JSON(offset), JSON(end)])),
          ])
        ))
      offset = end
    }
    guard Set(members.map(\.0)).count == members.count,
      !tensors.contains(where: { $0.name == "__metadata__" })
    else {
      throw MeanderError(.badRequest, "two tensors have the same name, or one is named __metadata__")
    }
    var header = JSON(members).write()
    header.append(contentsOf: repeatElement(UInt8(ascii: " "), count: (8 - header.count % 8) % 8))
    guard header.count <= largestHeader else {
      throw MeanderError(.limit, "the header takes \(header.count) bytes, \(largestHeader) is the limit")
    }
    // Safe: the number's eight bytes are copied inside the call.
    return withUnsafeBytes(of: UInt64(header.count).littleEndian) { [UInt8]($0) } + header
  }
}
