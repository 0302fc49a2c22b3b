import MeanderErrors

/// All tensors of a model, from one file or several. Nothing is read before it is asked for, and any number
/// of threads may read at once.
package final class TensorStore: Sendable {
  let tensors: [String: StoredTensor]
  let files: [FileBytes]
  /// What the file says of itself (of several files, the first one's).
  package let metadata: [String: String]
  /// Every tensor by name.
  package var entries: [String: TensorEntry] { tensors.mapValues(\.entry) }
  /// What names the store in a message: its file, or the first of its files.
  package let path: String

  init(_ tensors: [StoredTensor], files: [FileBytes], metadata: [String: String], path: String) throws {
    var byName: [String: StoredTensor] = [:]
    byName.reserveCapacity(tensors.count)
    for tensor in tensors {
      if let other = byName.updateValue(tensor, forKey: tensor.entry.name) {
        throw MeanderError(.badData, "the tensor stands in \(other.bytes.path) too", at: tensor.place)
      }
    }
    self.tensors = byName
    self.files = files
    self.metadata = metadata
    self.path = path
  }

  /// The tensors of one safetensors file. O(header).
  package static func open(safetensors bytes: FileBytes) throws -> TensorStore {
    let (tensors, metadata) = try SafeTensors.read(bytes)
    return try TensorStore(tensors, files: [bytes], metadata: metadata, path: bytes.path)
  }

  /// The entry of `name`; nil where there is no such tensor.
  package subscript(name: String) -> TensorEntry? { tensors[name]?.entry }

  private func tensor(_ name: String) throws -> StoredTensor {
    guard let tensor = tensors[name] else {
      throw MeanderError(.badData, "there is no tensor \(name)", at: path)
    }
    return tensor
  }

  /// Elements `range` of tensor `name` (F32, F16, BF16, F64 or whole blocks, row-major), widened to fp32. `values`
  /// is resized to the range; its memory is used again where it is large enough.
  package func floats(_ name: String, _ range: Range<Int>, into values: inout [Float]) throws {
    let tensor = try tensor(name)
    try tensor.withElements(range) { bytes in
      if values.count > range.count { values.removeLast(values.count - range.count) }
      if values.count < range.count {
        values.append(contentsOf: repeatElement(0, count: range.count - values.count))
      }
      // Safe: the array was resized to the range, and is written inside the call.
      let widened = values.withUnsafeMutableBufferPointer {
        Widening.floats(bytes, tensor.entry.type, into: $0)
      }
      guard widened else {
        throw MeanderError(
          .badData, "\(tensor.entry.type.rawValue) where numbers were expected", at: tensor.place)
      }
    }
    try tensor.values.apply(to: &values, at: tensor.place)
  }

  /// All elements of `name`, widened to fp32.
  package func floats(_ name: String) throws -> [Float] {
    var values: [Float] = []
    try floats(name, 0..<tensor(name).entry.count, into: &values)
    return values
  }

  /// All elements of `name`, which must hold F64.
  package func doubles(_ name: String) throws -> [Double] {
    let tensor = try tensor(name)
    guard tensor.entry.type == .f64 else {
      throw MeanderError(.badData, "\(tensor.entry.type.rawValue) where F64 was expected", at: tensor.place)
    }
    return try tensor.withElements(0..<tensor.entry.count) { bytes in
      // Safe: the bytes are exactly `count` doubles; loads are unaligned, as offsets in files are.
      (0..<tensor.entry.count).map { bytes.loadUnaligned(fromByteOffset: 8 * $0, as: Double.self) }
    }
  }

  /// All elements of `name`, which must hold integers that 63 bits hold.
  package func integers(_ name: String) throws -> [Int64] {
    let tensor = try tensor(name)
    return try tensor.withElements(0..<tensor.entry.count) { bytes in
      guard let values = Widening.integers(bytes, tensor.entry.type) else {
        throw MeanderError(
          .badData, "\(tensor.entry.type.rawValue) where integers were expected", at: tensor.place)
      }
      return values
    }
  }

  /// The stored bytes of all elements of `name`, row-major.
  package func bytes(_ name: String) throws -> [UInt8] {
    let tensor = try tensor(name)
    return try tensor.withElements(0..<tensor.entry.count) { [UInt8]($0) }
  }

  /// The stored bytes of elements `range` of `name`, whole blocks of it, into `bytes`, which is resized.
  package func bytes(_ name: String, _ range: Range<Int>, into bytes: inout [UInt8]) throws {
    try tensor(name).withElements(range) { source in
      if bytes.count != source.count { bytes = [UInt8](repeating: 0, count: source.count) }
      // Safe: as many bytes are copied as both sides have.
      bytes.withUnsafeMutableBytes { $0.copyMemory(from: source) }
    }
  }

  /// Gives back the pages that were read; call it once the weights are packed.
  package func release() {
    for file in files { file.release() }
  }

  /// Compares what is there with what an architecture declares, and returns the name in the file of each
  /// declared tensor that is there. Throws one `.badData` that lists all missing, all unexpected and all
  /// mis-shaped tensors.
  @discardableResult
  package func check(_ declared: [TensorDeclaration]) throws -> [String: String] {
    var found: [String: String] = [:]
    var missing: [String] = []
    var misshaped: [String] = []
    for declaration in declared {
      guard let name = ([declaration.name] + declaration.alternatives).first(where: { tensors[$0] != nil })
      else {
        if !declaration.optional { missing.append("\(declaration.name) \(declaration.shape)") }
        continue
      }
      found[declaration.name] = name
      if let entry = self[name], entry.shape != declaration.shape {
        misshaped.append("\(name) is \(entry.shape), it must be \(declaration.shape)")
      }
    }
    let known = Set(found.values)
    let unexpected = tensors.keys.filter { !known.contains($0) }.sorted()
    let lists = [("missing", missing), ("unexpected", unexpected), ("of the wrong shape", misshaped)]
    let complaints = lists.filter { !$0.1.isEmpty }.map {
      "\($0.1.count) \($0.0): \($0.1.joined(separator: ", "))"
    }
    if complaints.isEmpty { return found }
    throw MeanderError(
      .badData,
      "the tensors are not those that the configuration describes; " + complaints.joined(separator: "; "),
      at: path, remedy: "Check that the weights and config.json belong to the same model.")
  }
}
