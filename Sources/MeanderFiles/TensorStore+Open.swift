import MeanderErrors

extension TensorStore {
  /// All weights of a model: the file that was named, else `model.safetensors`, the shards of
  /// `model.safetensors.index.json`, `pytorch_model.bin`, the shards of its index, `model.pth`, or the only weight file of
  /// the folder.
  package static func open(_ files: ModelFiles) throws -> TensorStore {
    if let name = files.weightFile { return try open(try files.requiredFile(name)) }
    for name in ["model.safetensors", "pytorch_model.bin", "model.pth"] {
      if let bytes = try files.file(name) { return try open(bytes) }
      if let index = try files.file(name + ".index.json") { return try open(shardsOf: index, files) }
    }
    for suffix in [".safetensors", ".gguf", ".pth", ".bin", ".pt"] {
      let candidates = files.fileNames.filter { $0.hasSuffix(suffix) }
      if candidates.count == 1 { return try open(try files.requiredFile(candidates[0])) }
      if candidates.count > 1 {
        throw MeanderError(
          .badData, "there are several weight files and no index: \(candidates.joined(separator: ", "))",
          at: files.name,
          remedy: "Name the one that is meant.")
      }
    }
    throw MeanderError(
      .badData, "there are no weights", at: files.name,
      remedy: "A model has model.safetensors, shards with model.safetensors.index.json, or pytorch_model.bin."
    )
  }

  /// The tensors of one weight file, whose first bytes tell its format.
  package static func open(_ bytes: FileBytes) throws -> TensorStore {
    if ZipArchive.isArchive(bytes) {
      return try TensorStore(TorchCheckpoint.read(bytes), files: [bytes], metadata: [:], path: bytes.path)
    }
    if bytes.count >= 2, bytes[0] == 0x80, bytes[1] == 2 {
      throw MeanderError(
        .badData, "this is a bare pickle, as PyTorch wrote before version 1.6", at: bytes.path,
        remedy: "Load it and save it again with a newer PyTorch, or as safetensors.")
    }
    if GGUFFile.isOne(bytes) { return try GGUFFile(bytes).store() }
    return try open(safetensors: bytes)
  }

  /// The tensors of all shards that an index names. Every tensor of the index must stand in the shard it
  /// names.
  package static func open(shardsOf index: FileBytes, _ files: ModelFiles) throws -> TensorStore {
    guard let map = try JSON.parse(index)["weight_map"]?.object, map.count > 0 else {
      throw MeanderError(.badData, "the index must hold a weight_map", at: index.path)
    }
    var shards: [String: TensorStore] = [:]
    var tensors: [StoredTensor] = []
    var order: [FileBytes] = []
    var metadata: [String: String]?
    for member in map.members {
      guard let name = member.value.string else {
        throw MeanderError(.badData, "the shard of tensor \(member.key) must be a string", at: index.path)
      }
      if shards[name] == nil {
        guard let bytes = try files.file(name) else {
          throw MeanderError(
            .badData, "the shard \(name) is missing", at: index.path,
            remedy: "Fetch the model again: it is incomplete.")
        }
        let shard = try open(bytes)
        shards[name] = shard
        tensors += shard.tensors.values
        order.append(bytes)
        metadata = metadata ?? shard.metadata
      }
      guard shards[name]?[member.key] != nil else {
        throw MeanderError(
          .badData, "the tensor is not in the shard \(name)", at: "\(index.path), tensor \(member.key)")
      }
    }
    return try TensorStore(tensors, files: order, metadata: metadata ?? [:], path: index.path)
  }
}
