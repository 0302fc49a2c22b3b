import MeanderErrors
import MeanderFiles
import MeanderKernels

/// A model on its way into a GGUF file of another type.
///
/// Matrices are rounded to the type, row by row; vectors, convolutions and whatever a state space model's gates are made of stay
/// in fp32. A row that is no whole number of the type's blocks is written in Q8_0, or where it is not even one of 32 in BF16.
package struct GGUFExport {
  package enum Kind: String, Sendable, CaseIterable {
    case f32, bf16, q8_0, q4_0, q4_k

    var element: ElementType {
      switch self {
      case .f32: .f32
      case .bf16: .bf16
      case .q8_0: .q8_0
      case .q4_0: .q4_0
      case .q4_k: .q4_k
      }
    }

    /// What `general.file_type` calls a file that is mostly of this type.
    var fileType: Int {
      switch self {
      case .f32: 0
      case .bf16: 32
      case .q8_0: 7
      case .q4_0: 2
      case .q4_k: 14
      }
    }
  }

  /// A tensor of the new file: what it is made of, and how.
  private struct Source {
    var name: String
    var form = GGUFArchitecture.Form.same
    var heads = 1
  }

  private let kind: Kind
  private let store: TensorStore
  private var metadata: [(key: String, value: GGUFWriter.Value)]
  private var tensors: [(entry: TensorEntry, source: Source)] = []

  /// Whether the metadata already holds a tokenizer, since the model came from a file like this one.
  package let hasTokenizer: Bool

  package init(_ files: ModelFiles, as kind: Kind) throws {
    self.kind = kind
    if let file = try files.gguf() {
      store = try file.store()
      let replaced = ["general.file_type", "general.quantization_version", "general.alignment"]
      metadata = file.metadata.copied.filter { !replaced.contains($0.key) }
      hasTokenizer = true
      for name in store.entries.keys.sorted() {
        if let entry = store[name] { append(entry, entry.shape, name, Source(name: name)) }
      }
    } else {
      let (type, architecture, store) = try LanguageModel.open(files)
      self.store = store
      let known = Registry.ggufArchitectures.lazy.compactMap { names in names.settings(architecture).map { (names, $0) } }
      guard let (names, settings) = known.first else {
        throw MeanderError(
          .unsupported, "models of the architecture \(type.name) are not written as GGUF", at: files.name,
          remedy: "A model that is in a GGUF file already can be given another type, whatever it is.")
      }
      metadata = [("general.architecture", .text(names.name)), ("general.name", .text(files.name))]
      metadata += settings.map { ("\(names.name).\($0.0)", $0.1) } + architecture.shape.intent.ggufMetadata
      hasTokenizer = false
      let declared = try WeightReader.declarations { try architecture.build(from: $0) }
      try store.check(declared)
      for declaration in declared where !declaration.optional { try append(declaration, names, settings) }
    }
    metadata += [("general.quantization_version", .count(2)), ("general.file_type", .count(kind.fileType))]
  }

  /// Notes a tensor that is stored under `stored` in the new file.
  private mutating func append(_ entry: TensorEntry, _ shape: [Int], _ stored: String, _ source: Source) {
    if let new = TensorEntry(name: stored, type: element(stored, shape), shape: shape) { tensors.append((new, source)) }
  }

  private mutating func append(
    _ declaration: TensorDeclaration, _ names: GGUFArchitecture, _ settings: [(String, GGUFWriter.Value)]
  ) throws {
    guard let (tensor, layer) = names.tensor(of: declaration.name), let entry = store[declaration.name] else {
      throw MeanderError(.unsupported, "the tensor has no name in GGUF files", at: declaration.name)
    }
    func setting(_ key: String) -> Int {
      for (name, value) in settings { if name == key, case .count(let count) = value { return count } }
      return 1
    }
    var shape = entry.shape
    var source = Source(name: declaration.name, form: tensor.form)
    switch tensor.form {
    case .same: break
    case .column, .logarithm: shape = [entry.count, 1]
    case .groups: shape = [setting("ssm.group_count"), entry.count / setting("ssm.group_count")]
    case .convolution: shape = [entry.shape[0], entry.shape[2]]
    case .queries: source.heads = setting("attention.head_count")
    case .keys: source.heads = setting("attention.head_count_kv")
    }
    append(entry, shape, tensor.stored.split(separator: "#").joined(separator: layer), source)
  }

  /// The type that a tensor is written in.
  private func element(_ name: String, _ shape: [Int]) -> ElementType {
    let stays = ["norm", "conv1d", "ssm_a", "ssm_d", "ssm_x", "rope_freqs"]
    guard shape.count >= 2, name.hasSuffix(".weight"), !stays.contains(where: { name.contains($0) }), let inner = shape.last
    else { return .f32 }
    if inner.isMultiple(of: kind.element.blockCount) { return kind.element }
    return inner.isMultiple(of: ElementType.q8_0.blockCount) ? .q8_0 : .bf16
  }

  /// Adds to what the file says.
  package mutating func add(_ metadata: [(key: String, value: GGUFWriter.Value)]) { self.metadata += metadata }

  /// Writes the file, atomically; gives the bytes of its tensors.
  package func write(to path: String, progress: (Double) -> Void = { _ in }) throws -> Int {
    let writer = try GGUFWriter(path, metadata: metadata, tensors: tensors.map(\.entry))
    let total = tensors.reduce(0) { $0 + $1.entry.byteCount }
    var done = 0
    var values: [Float] = []
    for (entry, source) in tensors {
      let columns = max(1, store[source.name]?.shape.last ?? 1)
      let rows = entry.count / columns
      // A chunk of rows: whole blocks, and no more than a few megabytes.
      let chunk = entry.shape.count >= 2 && source.form != .convolution ? max(1, (1 << 20) / columns) : rows
      for first in stride(from: 0, to: rows, by: chunk) {
        try append(rows: first..<min(first + chunk, rows), columns, source, as: entry.type, into: writer, &values)
        store.release()
      }
      done += entry.byteCount
      progress(Double(done) / Double(max(1, total)))
    }
    try writer.commit()
    return total
  }

  private func append(
    rows: Range<Int>, _ columns: Int, _ source: Source, as type: ElementType, into writer: GGUFWriter,
    _ values: inout [Float]
  ) throws {
    switch source.form {
    case .queries, .keys:
      let width = (store[source.name]?.shape[0] ?? 0) / source.heads
      for row in rows {
        // Rows of the two halves of a head in turns.
        let (head, place) = row.quotientAndRemainder(dividingBy: width)
        let from = head * width + place % 2 * (width / 2) + place / 2
        try store.floats(source.name, from * columns..<(from + 1) * columns, into: &values)
        try writer.append(values, as: type)
      }
    default:
      try store.floats(source.name, rows.lowerBound * columns..<rows.upperBound * columns, into: &values)
      if case .logarithm = source.form { values = values.map { Float(-exponential(Double($0))) } }
      try writer.append(values, as: type)
    }
  }
}

extension GGUFArchitecture {
  /// The tensor that the architecture calls `name`, and its layer's number.
  func tensor(of name: String) -> (Tensor, layer: String)? {
    for tensor in tensors {
      for candidate in [tensor.name, tensor.alternative].compactMap({ $0 }) {
        let parts = candidate.split(separator: "#", omittingEmptySubsequences: false)
        if parts.count == 1, candidate == name { return (tensor, "") }
        guard parts.count == 2, name.hasPrefix(parts[0]), name.hasSuffix(parts[1]),
          name.count > parts[0].count + parts[1].count
        else { continue }
        let layer = name.dropFirst(parts[0].count).dropLast(parts[1].count)
        if layer.allSatisfy(\.isNumber) { return (tensor, String(layer)) }
      }
    }
    return nil
  }
}
