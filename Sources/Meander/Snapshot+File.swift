import MeanderErrors
import MeanderFiles
import MeanderKernels

extension Snapshot {
  /// Reads a snapshot file. O(size).
  ///
  /// Throws `notFound`, `inputOutput`, or `badData` for a file that is none, is cut short, or is of a newer
  /// format.
  public init(contentsOf path: String) throws {
    try self.init(FileBytes.mapping(path))
  }

  /// Reads the bytes of a snapshot file. O(size).
  public init(bytes: [UInt8]) throws {
    try self.init(FileBytes(bytes, path: "snapshot"))
  }

  /// The bytes of a snapshot file. O(size).
  public func bytes() throws -> [UInt8] {
    var writer = SafeTensorsWriter()
    try write(into: &writer)
    return try writer.bytes()
  }

  /// Writes a snapshot file, whole or not at all: whatever goes wrong, an earlier file at `path` stays as it
  /// was.
  ///
  /// The file can be read and written by its owner alone. Throws `inputOutput`, on a full disk say.
  public func write(to path: String) throws {
    var writer = SafeTensorsWriter()
    try write(into: &writer)
    try writer.write(to: path)
  }
}

// The names in a file, as Docs/StateFormat.md tells them.
private enum Key {
  static let format = "format"
  static let formatName = "meander-state"
  static let version = "format_version"
  static let fingerprint = "model_fingerprint"
  static let model = "model_name"
  static let compute = "compute"
  static let instructions = "instructions"
  static let statePrecision = "state_precision"
  static let mitigations = "mitigations"
  static let position = "position"
  static let bytesRead = "bytes_read"
  static let state = "state."
  static let note = "note."
  static let attachment = "attachment."
  static let encoder = "session.encoder"
  static let decoder = "session.decoder"
  static let sampler = "session.sampler"
}

extension Snapshot {
  private func write(into writer: inout SafeTensorsWriter) throws {
    writer.metadata = [
      Key.format: Key.formatName, Key.version: Self.currentFormatVersion.description, Key.fingerprint: fingerprint,
      Key.model: modelName, Key.compute: compute.rawValue, Key.instructions: instructions,
      Key.position: String(position), Key.bytesRead: String(bytesRead),
    ]
    if statePrecision != .fp32 { writer.metadata[Key.statePrecision] = statePrecision.rawValue }
    if !mitigations.isEmpty { writer.metadata[Key.mitigations] = mitigations.joined(separator: " ") }
    for (name, text) in notes { writer.metadata[Key.note + name] = text }
    for region in regions.sorted(by: { $0.name < $1.name }) {
      try writer.add(Key.state + region.name, region.type, region.shape, bytes: region.bytes)
    }
    let carried = [(Key.encoder, encoder), (Key.decoder, decoder), (Key.sampler, sampler)]
    let attached = attachments.sorted { $0.key < $1.key }.map { (Key.attachment + $0.key, $0.value) }
    for (name, bytes) in carried + attached { try writer.add(name, .u8, [bytes.count], bytes: bytes) }
  }

  private init(_ file: FileBytes) throws {
    let store = try TensorStore.open(safetensors: file)
    let header = Header(metadata: store.metadata, path: file.path)
    formatVersion = try header.version()
    fingerprint = try header.text(Key.fingerprint)
    modelName = try header.text(Key.model)
    compute = try header.compute()
    instructions = try header.text(Key.instructions)
    statePrecision = try header.statePrecision()
    mitigations = (store.metadata[Key.mitigations] ?? "").split(separator: " ").map(String.init)
    position = try header.count(Key.position)
    bytesRead = try header.count(Key.bytesRead)

    func blob(_ name: String) throws -> [UInt8] {
      guard let entry = store.entries[name] else {
        throw MeanderError(.badData, "\(name) is missing", at: file.path)
      }
      guard entry.type == .u8, entry.shape.count == 1 else {
        throw MeanderError(.badData, "\(name) is no row of bytes", at: file.path)
      }
      return try store.bytes(name)
    }
    encoder = try blob(Key.encoder)
    decoder = try blob(Key.decoder)
    sampler = try blob(Key.sampler)
    regions = try store.entries.keys.filter { $0.hasPrefix(Key.state) }.sorted().compactMap { name in
      guard let entry = store.entries[name] else { return nil }
      return Region(
        name: String(name.dropFirst(Key.state.count)), type: entry.type, shape: entry.shape,
        bytes: try store.bytes(name))
    }
    for name in store.entries.keys where name.hasPrefix(Key.attachment) {
      attachments[String(name.dropFirst(Key.attachment.count))] = try blob(name)
    }
    for (name, text) in store.metadata where name.hasPrefix(Key.note) {
      notes[String(name.dropFirst(Key.note.count))] = text
    }
  }
}

/// The metadata of a snapshot file.
private struct Header {
  let metadata: [String: String]
  let path: String
  /// More than any stream will read, and far enough from the end of 64 bits to count on.
  private static let furthest: Int64 = 1 << 62

  func text(_ key: String) throws -> String {
    guard let text = metadata[key] else { throw MeanderError(.badData, "the metadata lack \(key)", at: path) }
    return text
  }

  func count(_ key: String) throws -> Int64 {
    let text = try text(key)
    guard let value = Int64(text), (0...Self.furthest).contains(value) else {
      throw MeanderError(.badData, "\(key) is \(text.prefix(40)), which is no count", at: path)
    }
    return value
  }

  func compute() throws -> Compute {
    let text = try text(Key.compute)
    guard let compute = Compute(rawValue: text) else {
      throw MeanderError(.badData, "the products were computed in an unknown way, \(text.prefix(40))", at: path)
    }
    return compute
  }

  /// fp32 where nothing is said.
  func statePrecision() throws -> StatePrecision {
    guard let text = metadata[Key.statePrecision] else { return .fp32 }
    guard let precision = StatePrecision(rawValue: text) else {
      throw MeanderError(.badData, "the state was kept in an unknown way, \(text.prefix(40))", at: path)
    }
    return precision
  }

  func version() throws -> Snapshot.FormatVersion {
    guard metadata[Key.format] == Key.formatName else {
      throw MeanderError(
        .badData, "this is no snapshot of Meander", at: path,
        remedy: "Name a file that was written by --save or --snapshot.")
    }
    let text = try text(Key.version)
    let numbers = text.split(separator: ".", omittingEmptySubsequences: false).map { Int($0) }
    guard numbers.count == 2, let major = numbers[0], let minor = numbers[1], major >= 1, minor >= 0 else {
      throw MeanderError(.badData, "the format version is \(text.prefix(40)), which is none", at: path)
    }
    let current = Snapshot.currentFormatVersion
    guard major <= current.major else {
      throw MeanderError(
        .badData, "format \(major).\(minor) is newer than \(current), the newest that this program reads", at: path,
        remedy: "Read it with a newer Meander.")
    }
    return Snapshot.FormatVersion(major: major, minor: minor)
  }
}
