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

  /// A tensor of the new file: what it is made of.
  private struct Source {
    /// How many numbers a row has.
    var columns: Int
    /// What is written of the model's numbers.
    var values = TensorValues.asStored
    /// Whether the last two dimensions are written the other way round.
    var isTurned = false
    /// Rows of the model's tensors, and where they go.
    var pieces: [Piece] = []
    /// What is written in the place of any of the model's tensors.
    var constants: [Float]?
    /// What rows are multiplied by, so many of them each; nothing where that is empty.
    var factors: [(rows: Int, factor: Float)] = []

    struct Piece {
      var name: String
      var shape: [Int]
      /// The first of the tensor's rows that this run takes.
      var first: Int
      var run: RowRun
    }
  }

  private let kind: Kind
  private let store: TensorStore
  private var metadata: [(key: String, value: GGUFWriter.Value)]
  private var tensors: [(entry: TensorEntry, source: Source)] = []
  /// Tensors by their names in the new file, while they are put together.
  private var sources: [String: (shape: [Int], source: Source)] = [:]

  /// Whether the metadata already holds a tokenizer, since the model came from a file like this one.
  package let hasTokenizer: Bool
  /// V, how many rows the embedding has.
  package private(set) var vocabulary = 0

  package init(_ files: ModelFiles, as kind: Kind) throws {
    self.kind = kind
    if let file = try files.gguf() {
      store = try file.store()
      let replaced = ["general.file_type", "general.quantization_version", "general.alignment"]
      metadata = file.metadata.copied.filter { !replaced.contains($0.key) }
      hasTokenizer = true
      for name in store.entries.keys.sorted() {
        guard let entry = store[name] else { continue }
        let columns = max(1, entry.shape.last ?? 1)
        let run = RowRun(first: 0, count: entry.count / columns)
        append(
          name, entry.shape,
          Source(columns: columns, pieces: [.init(name: name, shape: entry.shape, first: 0, run: run)]))
      }
    } else {
      let (type, architecture, store) = try LanguageModel.open(files)
      self.store = store
      var known: (GGUFArchitecture, GGUFArchitecture.Settings)?
      for names in Registry.ggufArchitectures where known == nil {
        known = try names.settings(architecture).map { (names, $0) }
      }
      guard let (names, settings) = known else {
        throw MeanderError(
          .unsupported, "models of the architecture \(type.name) are not written as GGUF", at: files.name,
          remedy: "A model that is in a GGUF file already can be given another type, whatever it is.")
      }
      metadata = [("general.architecture", .text(names.name)), ("general.name", .text(files.name))]
      metadata += settings.map { ("\(names.name).\($0.0)", $0.1) } + architecture.shape.intent.ggufMetadata
      hasTokenizer = false
      vocabulary = architecture.shape.vocabulary
      let declared = try WeightReader.declarations { try architecture.build(from: $0) }
      let found = try store.check(declared)
      var order: [String] = []
      for declaration in declared where !declaration.optional {
        order += try place(declaration, found[declaration.name] ?? declaration.name, architecture, names, GGUFSizes(settings))
      }
      for name in order { if let (shape, source) = sources[name] { append(name, shape, source) } }
      for (name, values) in names.constants(architecture) { append(name, [values.count], Source(columns: 1, constants: values)) }
      for copy in names.copies where sources[copy.stored] == nil {
        if let (shape, source) = sources[copy.of] { append(copy.stored, shape, source) }
      }
    }
    metadata += [("general.quantization_version", .count(2)), ("general.file_type", .count(kind.fileType))]
  }

  private mutating func append(_ name: String, _ shape: [Int], _ source: Source) {
    if let entry = TensorEntry(name: name, type: element(name, shape), shape: shape) { tensors.append((entry, source)) }
  }

  /// Notes where the rows of one of the model's tensors, `name` in its files, go; the names of the file's tensors that are new.
  private mutating func place(
    _ declaration: TensorDeclaration, _ name: String, _ architecture: any Architecture, _ names: GGUFArchitecture,
    _ sizes: GGUFSizes
  ) throws -> [String] {
    guard let match = names.matches(declaration.name, sizes).first, let placement = match.placement(declaration.shape, sizes) else {
      throw MeanderError(.unsupported, "the tensor has no place in GGUF files", at: declaration.name)
    }
    var new: [String] = []
    for (index, stored) in match.stored.enumerated() {
      if sources[stored] == nil {
        new.append(stored)
        sources[stored] = (
          placement.shapes[index],
          Source(
            columns: placement.columns, values: match.tensor.form.values, isTurned: placement.isTurned,
            factors: names.factors(architecture, match.tensor))
        )
      }
      let rows = declaration.shape.reduce(1, *) / max(1, placement.columns)
      var first = 0
      for run in placement.runs ?? [RowRun(first: 0, count: rows)] {
        if run.source == index {
          sources[stored]?.source.pieces.append(.init(name: name, shape: declaration.shape, first: first, run: run))
        }
        first += run.count
      }
    }
    return new
  }

  /// The type that a tensor is written in.
  private func element(_ name: String, _ shape: [Int]) -> ElementType {
    let stays = ["norm", "conv1d", "shortconv.conv", "ssm_a", "ssm_d", "ssm_x", "rope_freqs", "ffn_gate_inp", "lerp"]
    let isSmall = stays.contains { name.contains($0) } || Self.isPath(name)
    guard shape.count >= 2, name.hasSuffix(".weight"), !isSmall, let inner = shape.last else { return .f32 }
    if inner.isMultiple(of: kind.element.blockCount) { return kind.element }
    return inner.isMultiple(of: ElementType.q8_0.blockCount) ? .q8_0 : .bf16
  }

  /// Whether it is one of the low-rank paths, or the small tensors, of RWKV's time mixing.
  private static func isPath(_ name: String) -> Bool {
    let matrices = ["key", "value", "receptance", "gate", "output"]
    return name.contains(".time_mix_") && !matrices.contains { name.hasSuffix(".time_mix_\($0).weight") }
  }

  /// Adds to what the file says.
  package mutating func add(_ metadata: [(key: String, value: GGUFWriter.Value)]) { self.metadata += metadata }

  /// Writes the file, atomically; gives the bytes of its tensors.
  package func write(to path: String, progress: (Double) -> Void = { _ in }) throws -> Int {
    let writer = try GGUFWriter(path, metadata: metadata, tensors: tensors.map(\.entry))
    let total = tensors.reduce(0) { $0 + $1.entry.byteCount }
    var done = 0
    for (entry, source) in tensors {
      try write(entry, source, into: writer)
      store.release()
      done += entry.byteCount
      progress(Double(done) / Double(max(1, total)))
    }
    try writer.commit()
    return total
  }

  private func write(_ entry: TensorEntry, _ source: Source, into writer: GGUFWriter) throws {
    if let constants = source.constants { return try writer.append(constants, as: entry.type) }
    if source.isTurned {
      for piece in source.pieces {
        let values = try store.floats(piece.name)
        try writer.append(source.values.stored(Self.turned(values, piece.shape)), as: entry.type)
      }
      return
    }
    let rows = entry.count / source.columns
    // Which piece each row comes from, and where in it.
    var origins = [(piece: Int32, row: Int32)](repeating: (-1, 0), count: rows)
    for (index, piece) in source.pieces.enumerated() {
      for row in 0..<piece.run.count { origins[piece.run.first + row * piece.run.step] = (Int32(index), Int32(piece.first + row)) }
    }
    guard origins.allSatisfy({ $0.piece >= 0 }) else {
      throw MeanderError(.badData, "not all of its rows are there", at: "\(store.path), tensor \(entry.name)")
    }
    let factors = source.factors.flatMap { Array(repeating: $0.factor, count: $0.rows) }
    // A chunk of rows: whole blocks, and no more than a few megabytes.
    let chunk = max(1, (1 << 20) / source.columns)
    var (values, part): ([Float], [Float]) = ([], [])
    for first in stride(from: 0, to: rows, by: chunk) {
      let end = min(first + chunk, rows)
      values.removeAll(keepingCapacity: true)
      var row = first
      while row < end {
        let (piece, own) = origins[row]
        var next = row + 1
        while next < end, origins[next].piece == piece, origins[next].row == own + Int32(next - row) { next += 1 }
        let range = Int(own) * source.columns..<(Int(own) + next - row) * source.columns
        try store.floats(source.pieces[Int(piece)].name, range, into: &part)
        if !factors.isEmpty {
          for index in part.indices { part[index] *= factors[(row + index / source.columns) % factors.count] }
        }
        values += part
        row = next
      }
      try writer.append(source.values.stored(values), as: entry.type)
      store.release()
    }
  }

  /// The last two dimensions the other way round.
  private static func turned(_ values: [Float], _ shape: [Int]) -> [Float] {
    let (rows, columns) = (shape[shape.count - 2], shape[shape.count - 1])
    return stride(from: 0, to: values.count, by: rows * columns).flatMap { start in
      (0..<columns).flatMap { column in (0..<rows).map { values[start + $0 * columns + column] } }
    }
  }
}

extension TensorValues {
  /// What a file holds of a model's numbers.
  fileprivate func stored(_ values: [Float]) -> [Float] {
    switch self {
    case .asStored: values
    case .lessOne: values.map { $0 + 1 }
    case .logarithmOfNegative: values.map { Float(-exponential(Double($0))) }
    }
  }
}
