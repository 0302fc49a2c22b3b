import MeanderErrors
import MeanderFiles

/// The settings of one architecture in a GGUF file's metadata. Every one is asked for, or said to carry nothing, or refused by
/// name, as with `Configuration`.
package struct GGUFSettings {
  let metadata: GGUFMetadata
  private let store: TensorStore
  private let prefix: String
  private var consumed: Set<String> = []

  init(_ metadata: GGUFMetadata, _ store: TensorStore, prefix: String) {
    (self.metadata, self.store, self.prefix) = (metadata, store, prefix)
  }

  var tensors: [String: TensorEntry] { store.entries }

  func failure(_ key: String, _ what: String) -> MeanderError { metadata.failure(prefix + key, what) }

  func unsupported(_ key: String, _ what: String) -> MeanderError { metadata.failure(prefix + key, what, .unsupported) }

  mutating func optionalInteger(_ key: String) throws -> Int? {
    consumed.insert(prefix + key)
    return try metadata.integer(prefix + key)
  }

  mutating func integer(_ key: String) throws -> Int {
    guard let value = try optionalInteger(key) else { throw failure(key, "is missing") }
    return value
  }

  mutating func optionalFloat(_ key: String) throws -> Double? {
    consumed.insert(prefix + key)
    return try metadata.float(prefix + key)
  }

  mutating func optionalText(_ key: String) throws -> String? {
    consumed.insert(prefix + key)
    return try metadata.text(prefix + key)
  }

  mutating func optionalBool(_ key: String) throws -> Bool? {
    consumed.insert(prefix + key)
    return try metadata.bool(prefix + key)
  }

  mutating func optionalNumbers(_ key: String) throws -> [Double]? {
    consumed.insert(prefix + key)
    return try metadata.array(prefix + key)?.numbers()
  }

  /// A count for each layer, which the file may give once for all; nil where it gives none.
  mutating func counts(_ key: String, layers: Int) throws -> [Int]? {
    consumed.insert(prefix + key)
    guard case .array(let array)? = metadata[prefix + key] else {
      return try metadata.integer(prefix + key).map { Array(repeating: $0, count: layers) }
    }
    let counts = try array.integers()
    guard counts.count == layers else { throw failure(key, "has \(counts.count) entries for \(layers) layers") }
    return counts
  }

  mutating func ignore(_ keys: [String]) { for key in keys { consumed.insert(prefix + key) } }

  /// Throws unless a setting is left out or has the only value that is understood.
  mutating func require(_ key: String, _ expected: Int) throws {
    guard let value = try optionalInteger(key), value != expected else { return }
    throw unsupported(key, "is \(value); models where it is not \(expected) are not understood")
  }

  /// Whether the file holds a tensor of that name.
  func has(_ tensor: String) -> Bool { tensors[tensor] != nil }

  /// The numbers of a tensor that is a setting, which the file must hold.
  func numbers(_ tensor: String) throws -> [Float] { try store.floats(tensor) }

  /// How many layers there are: no more than tensors, each of which takes one at least.
  mutating func layers() throws -> Int {
    let layers = try integer("block_count")
    guard (1...max(1, tensors.count)).contains(layers) else {
      throw failure("block_count", "is \(layers), and the file holds \(tensors.count) tensors")
    }
    return layers
  }

  /// V, as many rows as the embedding has.
  func vocabulary() throws -> Int {
    guard let shape = tensors["token_embd.weight"]?.shape, shape.count == 2 else {
      throw MeanderError(.badData, "there is no tensor token_embd.weight of two dimensions", at: metadata.path)
    }
    return shape[0]
  }

  /// Throws unless every setting was asked for.
  func finish() throws {
    let left = metadata.keys.filter { $0.hasPrefix(prefix) && !consumed.contains($0) }
    guard left.isEmpty else {
      throw MeanderError(
        .unsupported, "the settings \(left.joined(separator: ", ")) are not understood", at: metadata.path,
        remedy: "A model that needs them cannot be run here.")
    }
  }

  /// What the settings count, for whoever places tensors.
  var sizes: GGUFSizes {
    let (metadata, prefix) = (metadata, prefix)
    return GGUFSizes { key, layer in
      if case .array(let array)? = metadata[prefix + key] {
        let counts = (try? array.integers()) ?? []
        return counts.indices.contains(layer) ? counts[layer] : nil
      }
      return metadata[prefix + key]?.integer
    }
  }
}

/// A model in a GGUF file: what its `config.json` would say, and by which names it has its tensors.
package struct GGUFModel {
  package let configuration: JSON
  private let names: GGUFArchitecture
  private let sizes: GGUFSizes
  private let file: GGUFFile

  package init(_ file: GGUFFile) throws {
    self.file = file
    let metadata = file.metadata
    guard let name = try metadata.text("general.architecture") else {
      throw metadata.failure("general.architecture", "is missing")
    }
    guard let names = Registry.ggufArchitectures.first(where: { $0.name == name }) else {
      throw MeanderError(
        .unsupported, "the architecture \"\(name)\" is not known in GGUF files", at: file.path,
        remedy: "Known: \(Registry.ggufArchitectures.map(\.name).joined(separator: ", ")).")
    }
    var settings = GGUFSettings(metadata, try file.store(), prefix: name + ".")
    var members = try names.configuration(&settings)
    try settings.finish()
    if let intent = try Self.intent(metadata) { members.append(("meander", intent)) }
    for (key, part) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
      if let id = try metadata.integer("tokenizer.ggml.\(part)_token_id") { members.append((key, JSON(id))) }
    }
    (configuration, self.names, sizes) = (JSON(members), names, settings.sizes)
  }

  /// The file's tensors under the names of `architecture`, which the configuration describes.
  func store(for architecture: any Architecture) throws -> TensorStore {
    let store = try file.store()
    let declared = try WeightReader.declarations(room: WeightReader.room(of: store)) { try architecture.build(from: $0) }
    let unused = names.copies.map(\.stored) + names.told
    return try store.arranged(names.recipes(declared, of: store, sizes), without: Set(unused))
  }

  /// What Meander's own keys say of what the model was made for.
  private static func intent(_ metadata: GGUFMetadata) throws -> JSON? {
    var members: [(String, JSON)] = []
    if let purposes = try metadata.array("meander.purposes")?.texts() {
      members.append(("purposes", JSON(purposes.map { String(decoding: $0, as: UTF8.self) })))
    }
    for key in ["trained_length", "answer_tokens"] {
      if let value = try metadata.integer("meander.\(key)") { members.append((key, JSON(value))) }
    }
    return members.isEmpty ? nil : JSON(members)
  }
}

extension ModelIntent {
  /// The same as a GGUF file holds it.
  var ggufMetadata: [(key: String, value: GGUFWriter.Value)] {
    var result: [(key: String, value: GGUFWriter.Value)] = []
    if !purposes.isEmpty { result.append(("meander.purposes", .texts(purposes.map { Array($0.utf8) }))) }
    if let trainedLength { result.append(("meander.trained_length", .count(trainedLength))) }
    if let answerTokens { result.append(("meander.answer_tokens", .count(answerTokens))) }
    return result
  }
}
