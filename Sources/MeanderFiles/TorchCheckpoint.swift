import MeanderErrors

/// PyTorch's checkpoint (`torch.save` since 1.6): a zip archive of one pickle, `data.pkl`, that describes the
/// tensors, and one member `data/KEY` for each storage.
/// https://pytorch.org/docs/stable/notes/serialization.html
enum TorchCheckpoint {
  /// The tensors of the state dictionary in `bytes`. Tensors may share a storage (tied weights do), and need
  /// not be row-major; each must lie within its storage and hold no more elements than that.
  static func read(_ bytes: FileBytes) throws -> [StoredTensor] {
    let archive = try ZipArchive(bytes)
    let pickles = archive.members.filter {
      $0.key.hasSuffix("/data.pkl") && $0.key.split(separator: "/").count == 2
    }
    guard let pickle = pickles.first, pickles.count == 1 else {
      throw MeanderError(
        .badData, "the archive holds \(pickles.count) pickles of tensors, not one", at: bytes.path)
    }
    let folder = pickle.key.dropLast("data.pkl".count)
    if let order = archive.members[folder + "byteorder"], bytes.copy(order) != Array("little".utf8) {
      throw MeanderError(.badData, "the tensors are not little-endian", at: bytes.path)
    }
    return try Pickle.stateDictionary(bytes, pickle.value).map { name, tensor in
      guard let data = archive.members["\(folder)data/\(tensor.storage.key)"] else {
        throw MeanderError(
          .badData, "its storage '\(tensor.storage.key)' is missing", at: "\(bytes.path), tensor \(name)")
      }
      return try stored(name, tensor, bytes, data)
    }
  }

  private static func stored(
    _ name: String, _ tensor: Pickle.Tensor, _ bytes: FileBytes, _ data: Range<Int>
  ) throws -> StoredTensor {
    func failure(_ what: String) -> MeanderError {
      MeanderError(.badData, what, at: "\(bytes.path), tensor \(name), byte \(data.lowerBound)")
    }

    let storage = tensor.storage
    let (size, overflow) = storage.count.multipliedReportingOverflow(by: storage.type.byteCount)
    guard !overflow, size == data.count else {
      throw failure(
        "its storage has \(data.count) bytes, not \(storage.count) elements of \(storage.type.rawValue)")
    }
    guard let entry = TensorEntry(name: name, type: storage.type, shape: tensor.shape),
      entry.count <= storage.count,
      tensor.strides.count == tensor.shape.count, tensor.offset >= 0, tensor.offset <= storage.count
    else {
      throw failure(
        "the shape \(tensor.shape) at element \(tensor.offset) does not fit \(storage.count) elements")
    }
    if entry.count > 0 {
      guard let last = lastElement(tensor), last < storage.count else {
        throw failure("the strides \(tensor.strides) of shape \(tensor.shape) lead out of its storage")
      }
    }
    return StoredTensor(
      entry: entry, bytes: bytes, offset: data.lowerBound + tensor.offset * storage.type.byteCount,
      strides: isRowMajor(tensor) ? nil : tensor.strides)
  }

  /// The farthest element of the storage that the tensor reaches; nil where that passes 63 bits or a stride
  /// is negative.
  private static func lastElement(_ tensor: Pickle.Tensor) -> Int? {
    var last = tensor.offset
    for (size, stride) in zip(tensor.shape, tensor.strides) {
      let (distance, past) = (size - 1).multipliedReportingOverflow(by: stride)
      let (sum, beyond) = last.addingReportingOverflow(distance)
      guard stride >= 0, !past, !beyond else { return nil }
      last = sum
    }
    return last
  }

  /// Whether the elements lie in row-major order; the stride of a dimension of one element means nothing.
  private static func isRowMajor(_ tensor: Pickle.Tensor) -> Bool {
    if tensor.shape.contains(0) { return true }
    var expected = 1
    for (size, stride) in zip(tensor.shape, tensor.strides).reversed() where size != 1 {
      if stride != expected { return false }
      expected *= size
    }
    return true
  }
}
