import MeanderErrors
import MeanderFiles

/// The folders of `Tests/Fixtures`.
public enum Fixture {
  /// The path of `Tests/Fixtures/name`, where a name may hold slashes.
  public static func path(_ name: String) -> String {
    let here = #filePath.split(separator: "/").dropLast(2)
    return "/" + (here + ["Fixtures", Substring(name)]).joined(separator: "/")
  }

  /// The model files of `Tests/Fixtures/name`.
  package static func model(_ name: String) -> ModelFiles { ModelFiles(folder: path(name)) }

  /// The bytes of `Tests/Fixtures/name`.
  package static func bytes(_ name: String) throws -> FileBytes { try .mapping(path(name)) }
}

/// What the reference implementation computed for a fixture: `golden.safetensors` (or another file of that
/// kind).
public struct Golden: Sendable {
  package let store: TensorStore
  private let folder: String

  public init(_ fixture: String, file: String = "golden.safetensors") throws {
    store = try TensorStore.open(safetensors: Fixture.bytes("\(fixture)/\(file)"))
    folder = fixture
  }

  public func floats(_ name: String) throws -> [Float] { try store.floats(name) }
  public func integers(_ name: String) throws -> [Int64] { try store.integers(name) }

  public func shape(_ name: String) throws -> [Int] {
    guard let entry = store[name] else {
      throw MeanderError(.badData, "no golden tensor \(name)", at: folder)
    }
    return entry.shape
  }

  /// The names of the golden tensors, sorted.
  public var names: [String] { store.entries.keys.sorted() }

  /// `golden.json`: seed, lengths (`length`, `split`, `steps`), the note.
  package func about() throws -> JSON { try JSON.parse(Fixture.bytes("\(folder)/golden.json")) }

  /// One integer of `golden.json`.
  public func integer(_ key: String) throws -> Int {
    guard let value = try about()[key]?.integer else {
      throw MeanderError(.badData, "golden.json has no integer '\(key)'", at: folder)
    }
    return value
  }
}
