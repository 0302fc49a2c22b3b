import MeanderErrors
import MeanderFiles

/// What GGUF files call an architecture, its settings and its tensors. One line in `Registry.ggufArchitectures` adds another;
/// what the settings and tensors mean is the `Architecture`'s own affair, which is given both under its own names.
package struct GGUFArchitecture: Sendable {
  /// `general.architecture`, which the names of the settings begin with.
  let name: String
  /// The settings as a `config.json` of the architecture would say them.
  let configuration: @Sendable (inout GGUFSettings) throws -> [(String, JSON)]
  /// The settings of an architecture of ours as files hold them, without the name before them; nil where it is another one.
  let settings: @Sendable (any Architecture) -> [(String, GGUFWriter.Value)]?
  /// The names of the tensors; `#` stands for a layer's number in both.
  let tensors: [Tensor]

  init(
    _ name: String, tensors: [Tensor],
    settings: @escaping @Sendable (any Architecture) -> [(String, GGUFWriter.Value)]?,
    configuration: @escaping @Sendable (inout GGUFSettings) throws -> [(String, JSON)]
  ) {
    (self.name, self.tensors, self.settings, self.configuration) = (name, tensors, settings, configuration)
  }

  struct Tensor: Sendable {
    /// What GGUF files call it.
    let stored: String
    /// What the architecture calls it, and what it does in another layout of its checkpoints.
    let name: String
    let alternative: String?
    let form: Form

    init(_ stored: String, _ name: String, _ form: Form = .same, alternative: String? = nil) {
      (self.stored, self.name, self.form, self.alternative) = (stored, name, form, alternative)
    }
  }

  /// How a tensor is kept in a GGUF file, against how the architecture is told of it.
  enum Form: Sendable {
    case same
    /// A vector, stored as a column.
    case column
    /// A vector, stored as a row for each of so many groups.
    case groups
    /// A dimension of one is missing in the middle.
    case convolution
    /// The logarithm of a column's numbers less their sign: A of a state space model.
    case logarithm
    /// Rows of each head in the order of neighbouring rotary pairs: queries, or keys.
    case queries, keys
  }
}

/// The settings of one architecture in a GGUF file's metadata. Every one is asked for, or said to carry nothing, or refused by
/// name, as with `Configuration`.
package struct GGUFSettings {
  let metadata: GGUFMetadata
  let tensors: [String: TensorEntry]
  private let prefix: String
  private var consumed: Set<String> = []

  init(_ metadata: GGUFMetadata, _ tensors: [String: TensorEntry], prefix: String) {
    (self.metadata, self.tensors, self.prefix) = (metadata, tensors, prefix)
  }

  func failure(_ key: String, _ what: String) -> MeanderError { metadata.failure(prefix + key, what) }

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

  mutating func optionalNumbers(_ key: String) throws -> [Double]? {
    consumed.insert(prefix + key)
    return try metadata.array(prefix + key)?.numbers()
  }

  mutating func ignore(_ keys: [String]) { for key in keys { consumed.insert(prefix + key) } }

  /// Whether the file holds a tensor of that name.
  func has(_ tensor: String) -> Bool { tensors[tensor] != nil }

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
}

extension GGUFFile {
  /// The model that the file holds, under the names of its architecture: what its `config.json` would say, and its tensors.
  package func model() throws -> (configuration: JSON, store: TensorStore) {
    guard let name = try metadata.text("general.architecture") else {
      throw metadata.failure("general.architecture", "is missing")
    }
    guard let architecture = Registry.ggufArchitectures.first(where: { $0.name == name }) else {
      throw MeanderError(
        .unsupported, "the architecture \"\(name)\" is not known in GGUF files", at: path,
        remedy: "Known: \(Registry.ggufArchitectures.map(\.name).joined(separator: ", ")).")
    }
    let store = try store()
    var settings = GGUFSettings(metadata, store.entries, prefix: name + ".")
    var members = try architecture.configuration(&settings)
    try settings.finish()
    if let intent = try intent() { members.append(("meander", intent)) }
    for (key, part) in [("bos_token_id", "bos"), ("eos_token_id", "eos")] {
      if let id = try metadata.integer("tokenizer.ggml.\(part)_token_id") { members.append((key, JSON(id))) }
    }
    let configuration = JSON(members)
    return (configuration, try architecture.renamed(store, configuration))
  }
}

extension GGUFFile {
  /// What Meander's own keys say of what the model was made for.
  private func intent() throws -> JSON? {
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

extension GGUFArchitecture {
  func renamed(_ store: TensorStore, _ configuration: JSON) throws -> TensorStore {
    let heads = configuration["num_attention_heads"]?.integer ?? 1
    let keyHeads = configuration["num_key_value_heads"]?.integer ?? heads
    let known = Dictionary(uniqueKeysWithValues: tensors.map { ($0.stored, $0) })
    return try store.renamed { entry in
      let (pattern, layer) = Self.pattern(entry.name)
      guard let tensor = known[pattern] else { return nil }
      let name = tensor.name.split(separator: "#", omittingEmptySubsequences: false).joined(separator: layer ?? "")
      var shape = entry.shape
      var arrangement = TensorArrangement.asStored
      switch tensor.form {
      case .same: break
      case .column, .groups: shape = [entry.count]
      case .convolution: shape.insert(1, at: max(0, shape.count - 1))
      case .logarithm: (shape, arrangement) = ([entry.count], .logarithmOfNegative)
      case .queries: arrangement = .rotaryPairs(heads: heads)
      case .keys: arrangement = .rotaryPairs(heads: keyHeads)
      }
      if case .rotaryPairs(let heads) = arrangement {
        guard heads > 0, shape[0].isMultiple(of: 2 * heads) else {
          throw MeanderError(
            .badData, "\(shape[0]) rows are no pairs for \(heads) heads", at: "\(store.path), tensor \(entry.name)")
        }
      }
      return (name, shape, arrangement)
    }
  }

  /// `blk.7.attn_q.weight` as `blk.#.attn_q.weight` and 7.
  private static func pattern(_ name: String) -> (pattern: String, layer: String?) {
    let parts = name.split(separator: ".", maxSplits: 2, omittingEmptySubsequences: false)
    guard parts.count == 3, parts[0] == "blk", !parts[1].isEmpty, parts[1].allSatisfy({ $0.isASCII && $0.isNumber }) else {
      return (name, nil)
    }
    return ("blk.#.\(parts[2])", String(parts[1]))
  }
}
