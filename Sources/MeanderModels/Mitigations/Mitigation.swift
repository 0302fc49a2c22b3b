import MeanderErrors
import MeanderFiles

/// A named change to how a model's state evolves, so that it survives lengths which training never saw.
///
///     let model = try await Model.load("reader", engine: engine, mitigations: [.rri(), .window(8192)])
///
/// In a command: `--mitigation rri:retention=0.9999,insertion=0.75`. `Docs/Mitigations.md` tells of each.
public struct Mitigation: Sendable {
  package let method: any MitigationMethod
  /// The model that it was calibrated for, if it was.
  let fingerprint: String?

  package init(_ method: any MitigationMethod) {
    self.method = method
    fingerprint = nil
  }

  /// Reads `NAME`, `NAME:key=value,…`, or `@FILE` as `meander calibrate` wrote it.
  ///
  /// Throws `badRequest` for a name, key or value that there is none of, saying which there are; `notFound` or
  /// `badData` for a file.
  public init(_ text: String) throws {
    if text.first == "@" {
      self = try CalibrationFile(contentsOf: String(text.dropFirst())).mitigation()
      return
    }
    let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
    try self.init(name: String(parts[0]), try MitigationSettings(text: parts.count > 1 ? String(parts[1]) : "", of: text))
  }

  init(name: String, _ settings: MitigationSettings, fingerprint: String? = nil) throws {
    self.fingerprint = fingerprint
    guard let type = Registry.mitigations.first(where: { $0.name == name }) else {
      throw MeanderError(
        .badRequest, "there is no mitigation “\(name)”", at: settings.place,
        remedy: "Known: \(Self.names.joined(separator: ", ")).")
    }
    var settings = settings
    method = try type.init(&settings)
    try settings.finish()
  }

  /// Every mitigation by name.
  public static var names: [String] { Registry.mitigations.map { $0.name } }

  /// `rri`, say.
  public var name: String { type(of: method).name }
}

extension Mitigation: CustomStringConvertible, Hashable {
  /// Name and all settings, those left out included: `rri:retention=0.9999,insertion=0.75`. Calibrated values stand as
  /// a digest. Two mitigations that agree in it are the same.
  public var description: String {
    let settings = method.settings.map { "\($0.key)=\($0.value)" }
    return settings.isEmpty ? name : name + ":" + settings.joined(separator: ",")
  }

  /// Whether both do the same.
  public static func == (a: Mitigation, b: Mitigation) -> Bool { a.description == b.description }

  /// Hashes the description.
  public func hash(into hasher: inout Hasher) { hasher.combine(description) }
}

/// How one mitigation works: a file in this folder and a line in `Registry`.
package protocol MitigationMethod: Sendable {
  /// What commands call it.
  static var name: String { get }

  /// Takes its settings by name; what is left over is refused. Ranges are held by `apply`, for values that code gives
  /// too.
  init(_ settings: inout MitigationSettings) throws

  /// All of its settings as text that `init` reads, in one order.
  var settings: [(key: String, value: String)] { get }

  /// Enters what it does into the plan for one model. Throws `.badRequest` for a value out of range, `.unsupported`
  /// with the reason for a model that cannot take it.
  func apply(to plan: inout MitigationPlan) throws

  /// Finds the free values on a text, where there are any to find.
  func calibrated(_ calibration: Calibration) throws -> CalibrationResult
}

extension MitigationMethod {
  package func calibrated(_ calibration: Calibration) throws -> CalibrationResult {
    throw MeanderError(
      .badRequest, "\(Self.name) has no values that a text could tell", remedy: "Give its settings in words.")
  }
}
