import Logging
import MeanderErrors
import MeanderFiles
import MeanderKernels
import MeanderModels
import MeanderText

/// A session's state as a value, in memory or in a file: everything that is needed to go on to the bit.
///
/// In a file it is a safetensors file (Docs/StateFormat.md). What was read can in part be recovered from a
/// state, so files are written readable by their owner alone; treat them like the input.
public struct Snapshot: Sendable {
  /// The format that is written. A file of a newer major version is refused; all older ones are read.
  public static let currentFormatVersion = FormatVersion(major: 1, minor: 1)

  /// The version of the file that this was read from; the current one when it was taken here.
  public let formatVersion: FormatVersion
  /// The identity of the model whose state this is.
  public let fingerprint: String
  /// The name that the model had when the snapshot was taken.
  public let modelName: String
  /// How products were computed.
  public let compute: Compute
  /// The instruction table that computed them: `avx2`, say.
  public let instructions: String
  /// How exactly its sums over the past were kept.
  public let statePrecision: StatePrecision
  /// The mitigations under which it evolved, in words.
  public let mitigations: [String]
  /// Tokens that the state has taken in.
  public let position: Int64
  /// Bytes of input that were read.
  public let bytesRead: Int64
  /// What a program wants to find again beside the state: small named blobs.
  public var attachments: [String: [UInt8]] = [:]
  /// The same for text.
  public var notes: [String: String] = [:]

  /// The regions of the state, in the model's order when taken, in the file's when read.
  package let regions: [Region]
  let encoder: [UInt8]
  let decoder: [UInt8]
  let sampler: [UInt8]

  /// One named region of the state.
  package struct Region: Sendable, Equatable {
    package let name: String
    package let type: ElementType
    package let shape: [Int]
    /// Row-major, little-endian.
    package let bytes: [UInt8]
  }

  /// The version of the snapshot format.
  public struct FormatVersion: Sendable, Hashable, CustomStringConvertible {
    /// Grows when a file cannot be understood without the change.
    public let major: Int
    /// Grows when something was added that older programs can leave aside.
    public let minor: Int
    /// `major.minor`.
    public var description: String { "\(major).\(minor)" }
  }
}

extension Snapshot {
  init(_ contents: SessionContents, _ model: Model) {
    formatVersion = Self.currentFormatVersion
    fingerprint = model.fingerprint
    modelName = model.name
    compute = model.compute
    instructions = model.engine.instructions
    statePrecision = model.statePrecision
    mitigations = model.mitigations.map(\.description)
    position = contents.state.position
    bytesRead = contents.bytesRead
    regions = contents.state.layout.regions.map {
      Region(name: $0.name, type: $0.type, shape: $0.shape, bytes: contents.state.bytes(of: $0))
    }
    encoder = contents.encoder.carry.serialized()
    decoder = contents.decoder.carry.serialized()
    sampler = contents.sampler.serialized()
  }

  /// Why resuming with `model` will not give the bits that the same run would have given without the
  /// snapshot; nil where it will.
  ///
  /// In fp32 and int8 the bits are the same on every CPU. Products in bf16 round differently under other instructions.
  public func difference(from model: Model) -> String? {
    if compute != model.compute {
      return "the snapshot was taken with \(compute.rawValue) products and continues with \(model.compute.rawValue)"
    }
    if statePrecision != model.statePrecision {
      return "the snapshot's state was kept in \(statePrecision.rawValue) and goes on in \(model.statePrecision.rawValue)"
    }
    guard compute == .bf16, instructions != model.engine.instructions else { return nil }
    return "the snapshot was taken with the instructions \(instructions) and continues with "
      + "\(model.engine.instructions): \(compute.rawValue) products round differently there"
  }

  /// What the name of a region ends in that files of format 1.0 lack.
  static let retentionSuffix = ".trained_retention"

  /// Throws `mismatch` unless this is a state of `model`, and `badData` unless it has the regions of one.
  func check(against model: Model) throws {
    guard fingerprint == model.fingerprint else {
      throw MeanderError(
        .mismatch,
        "this is a state of model \(modelName) with fingerprint \(fingerprint), and "
          + "\(model.name) has \(model.fingerprint)",
        at: "snapshot", remedy: "Load the model that the snapshot was taken with.")
    }
    let current = model.mitigations.map(\.description)
    guard mitigations == current else {
      func named(_ list: [String]) -> String { list.isEmpty ? "none" : list.joined(separator: " ") }
      throw MeanderError(
        .mismatch, "the state evolved under other mitigations: \(named(mitigations)), and here are \(named(current))",
        at: "snapshot", remedy: "Give the same --mitigation options.")
    }
    guard (statePrecision == .compensated) == (model.statePrecision == .compensated) else {
      throw MeanderError(
        .mismatch,
        "the state was kept in \(statePrecision.rawValue), and here it is to be \(model.statePrecision.rawValue)", at: "snapshot",
        remedy: "Give --state \(statePrecision.rawValue).")
    }
    let expected = Dictionary(uniqueKeysWithValues: model.language.layout.regions.map { ($0.name, $0) })
    var found = Set<String>()
    for region in regions {
      guard let declared = expected[region.name], found.insert(region.name).inserted else {
        let isOfAttention = [".keys", ".values", ".far_keys"].contains { region.name.contains($0) }
        throw MeanderError(
          isOfAttention ? .mismatch : .badData, "holds a region that model \(model.name) has not",
          at: "snapshot, \(region.name)",
          remedy: isOfAttention ? "Load the model with the bounds of attention that the snapshot was taken under." : nil)
      }
      guard region.type == declared.type, region.shape == declared.shape else {
        throw MeanderError(
          .badData, "is \(region.type.rawValue) \(region.shape) instead of \(declared.type.rawValue) \(declared.shape)",
          at: "snapshot, \(region.name)")
      }
    }
    let isOld = (formatVersion.major, formatVersion.minor) < (1, 1)
    let later = isOld ? expected.keys.filter { $0.hasSuffix(Self.retentionSuffix) } : []
    if let missing = expected.keys.filter({ !found.contains($0) && !later.contains($0) }).min() {
      throw MeanderError(.badData, "is missing", at: "snapshot, \(missing)")
    }
    if let difference = difference(from: model) { model.engine.logger.warning("\(difference)") }
  }
}

extension SessionContents {
  /// The session that `snapshot`, which was checked against `model`, was taken from.
  init(_ snapshot: Snapshot, _ model: Model) throws {
    let state = model.language.makeState()
    for region in snapshot.regions {
      guard let declared = state.layout[region.name] else { continue }
      try state.setBytes(of: declared, region.bytes)
    }
    state.setPosition(snapshot.position)
    if !snapshot.regions.contains(where: { $0.name.hasSuffix(Snapshot.retentionSuffix) }) {
      model.language.completeRetentions(of: state, kernels: model.kernels)
    }
    let encoder = try TokenEncoder(tokenizer: model.tokenizer, carry: EncoderCarry(serialized: snapshot.encoder))
    guard encoder.consumed == snapshot.bytesRead else {
      throw MeanderError(.badData, "the tokenizer has not read as many bytes as the session", at: "snapshot")
    }
    self.init(
      state: state, encoder: encoder,
      decoder: try TokenDecoder(tokenizer: model.tokenizer, carry: DecoderCarry(serialized: snapshot.decoder)),
      sampler: try Sampler(serialized: snapshot.sampler))
  }
}
