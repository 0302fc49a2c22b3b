import Glibc
import MeanderErrors
import SystemPackage

/// Where a model's files are: a folder, one weight file with its neighbors, or the program itself (a shipped
/// model).
package struct ModelFiles: Sendable {
  private enum Place: Sendable {
    case folder(FilePath)
    case shipped
  }

  /// The name that was asked for, for messages.
  package let name: String
  /// The one file that holds the weights, where it was named; else the folder's files decide.
  package let weightFile: String?
  private let place: Place

  /// The files of a folder.
  package init(folder: String) {
    self.init(name: folder, weightFile: nil, place: .folder(FilePath(folder)))
  }

  private init(name: String, weightFile: String?, place: Place) {
    self.name = name
    self.weightFile = weightFile
    self.place = place
  }

  private static let weightExtensions = ["safetensors", "gguf", "bin", "pth", "pt"]

  /// Finds a model: an existing path first, then a shipped model's name, then a hub name (`org/name`) in the
  /// local hub cache (`$HF_HUB_CACHE`, `$HF_HOME/hub`, `$XDG_CACHE_HOME/huggingface/hub`,
  /// `~/.cache/huggingface/hub`).
  ///
  /// Throws `.notFound`, whose remedy lists the shipped names, or is the command that would fetch the hub's
  /// model; nothing is ever fetched from here.
  package static func resolve(_ nameOrPath: String, environment: [String: String]) throws -> ModelFiles {
    if let status = FileStatus(nameOrPath) { return try existing(nameOrPath, status) }
    if !ShippedFiles.names(model: nameOrPath).isEmpty {
      return ModelFiles(name: nameOrPath, weightFile: nil, place: .shipped)
    }
    if let hubName = HubName(nameOrPath) { return try hubName.cached(environment) }
    let shipped = ShippedFiles.models
    throw MeanderError(
      .notFound, "there is no such model", at: nameOrPath,
      remedy: "Name a folder, a weight file, a hub name (org/name)"
        + (shipped.isEmpty ? "." : ", or a shipped model: \(shipped.joined(separator: ", "))."))
  }

  private static func existing(_ path: String, _ status: FileStatus) throws -> ModelFiles {
    if status.isDirectory { return ModelFiles(folder: path) }
    let file = FilePath(path)
    guard status.isRegular, let last = file.lastComponent, weightExtensions.contains(file.extension ?? "")
    else {
      let endings = weightExtensions.map { "." + $0 }.joined(separator: ", ")
      throw MeanderError(
        .badData, "this is neither a folder nor a weight file", at: path,
        remedy: "Name a model's folder, or a file ending in \(endings).")
    }
    let folder = file.removingLastComponent()
    return ModelFiles(
      name: path, weightFile: last.string, place: .folder(folder.isEmpty ? FilePath(".") : folder))
  }

  /// The bytes of file `name`; nil where the model has none of that name. A name that leads out of the folder
  /// is refused.
  package func file(_ name: String) throws -> FileBytes? {
    guard let component = FilePath.Component(name), component.kind == .regular else {
      throw MeanderError(.badData, "'\(name)' is not a file name", at: self.name)
    }
    switch place {
    case .folder(let folder):
      let path = folder.appending(component).string
      guard let status = FileStatus(path), status.isRegular else { return nil }
      return try FileBytes.mapping(path)
    case .shipped:
      return ShippedFiles.bytes(model: self.name, name: name).map {
        FileBytes(constant: $0, path: "\(self.name)/\(name) (shipped)")
      }
    }
  }

  /// The same for a file that must be there.
  package func requiredFile(_ name: String) throws -> FileBytes {
    guard let bytes = try file(name) else {
      throw MeanderError(.badData, "the model has no file \(name)", at: self.name)
    }
    return bytes
  }

  /// The GGUF file that is the whole model: the one that was named, or the only one of a folder without `config.json`; nil
  /// where the model is in other files. O(the file's header).
  package func gguf() throws -> GGUFFile? {
    if let weightFile { return weightFile.hasSuffix(".gguf") ? try GGUFFile(requiredFile(weightFile)) : nil }
    let candidates = fileNames.filter { $0.hasSuffix(".gguf") }
    guard candidates.count == 1, !fileNames.contains("config.json") else { return nil }
    return try GGUFFile(requiredFile(candidates[0]))
  }

  /// The names of the model's files, sorted; folders inside are left out.
  package var fileNames: [String] {
    guard case .folder(let folder) = place else { return ShippedFiles.names(model: name) }
    let names = (try? Folder.names(in: folder.string)) ?? []
    return names.filter { FileStatus(folder.appending($0).string)?.isRegular == true }
  }
}

/// A model's name on the hub: `org/name`, in the characters that the hub allows.
private struct HubName {
  let organization: Substring
  let model: Substring

  init?(_ name: String) {
    let parts = name.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count == 2, parts.allSatisfy(Self.isValid) else { return nil }
    organization = parts[0]
    model = parts[1]
  }

  private static func isValid(_ part: Substring) -> Bool {
    guard let first = part.utf8.first, first != UInt8(ascii: "."), part.utf8.count <= 96 else { return false }
    return part.unicodeScalars.allSatisfy {
      $0.isASCII
        && ($0.properties.isAlphabetic || $0.properties.numericType != nil
          || "-_.".unicodeScalars.contains($0))
    }
  }

  /// The files of the commit that `main` stood at when the model was fetched.
  func cached(_ environment: [String: String]) throws -> ModelFiles {
    let name = "\(organization)/\(model)"
    let missing = MeanderError(
      .notFound, "there is no such path, and the model is not in the local hub cache", at: name,
      remedy: "Fetch it with: hf download \(name)")
    guard let cache = Self.cache(environment) else { throw missing }
    let folder = cache.appending("models--\(organization)--\(model)")
    let reference = folder.appending("refs").appending("main")
    guard FileStatus(reference.string)?.isRegular == true else { throw missing }
    let bytes = try FileBytes.mapping(reference.string)
    let commit = String(decoding: bytes.copy(0..<min(bytes.count, 64)), as: UTF8.self).prefix {
      $0.isHexDigit
    }
    let snapshot = folder.appending("snapshots").appending(String(commit))
    guard !commit.isEmpty, FileStatus(snapshot.string)?.isDirectory == true else { throw missing }
    return ModelFiles(folder: snapshot.string)
  }

  private static func cache(_ environment: [String: String]) -> FilePath? {
    func set(_ name: String) -> FilePath? { environment[name].flatMap { $0.isEmpty ? nil : FilePath($0) } }
    if let cache = set("HF_HUB_CACHE") ?? set("HUGGINGFACE_HUB_CACHE") { return cache }
    let home =
      set("HF_HOME") ?? (set("XDG_CACHE_HOME") ?? set("HOME")?.appending(".cache"))?.appending("huggingface")
    return home?.appending("hub")
  }
}
