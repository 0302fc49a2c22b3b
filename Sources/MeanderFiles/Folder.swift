import Glibc
import MeanderErrors
import SystemPackage

/// Folders: made, listed, and files removed from them.
package enum Folder {
  /// Makes a folder and those above it, where they are missing. Throws `.inputOutput`.
  package static func make(_ path: String, mode: mode_t = 0o755) throws {
    var made = path.hasPrefix("/") ? "/" : ""
    for part in path.split(separator: "/") {
      made += (made.isEmpty || made.hasSuffix("/") ? "" : "/") + part
      guard mkdir(made, mode) != 0, errno != EEXIST else { continue }
      // An existing folder may lie where no new one may be made.
      let code = errno
      if FileStatus(made)?.isDirectory ?? false { continue }
      throw MeanderError(.inputOutput, "the folder cannot be made", at: made, cause: Errno(rawValue: code))
    }
    guard FileStatus(path)?.isDirectory ?? false else {
      throw MeanderError(.inputOutput, "this is no folder", at: path, remedy: "Name a folder, or a path where one can be made.")
    }
  }

  /// The names in a folder, sorted; none where there is no such folder. Throws `.inputOutput`.
  package static func names(in path: String) throws -> [String] {
    guard let listing = opendir(path) else {
      guard errno == ENOENT else {
        throw MeanderError(.inputOutput, "the folder cannot be read", at: path, cause: Errno(rawValue: errno))
      }
      return []
    }
    defer { closedir(listing) }
    var names: [String] = []
    while let entry = readdir(listing) {
      // Safe: the record is valid until the next readdir, and its name ends in a zero byte.
      let name = withUnsafePointer(to: &entry.pointee.d_name) { name in
        name.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != "." && name != ".." { names.append(name) }
    }
    return names.sorted()
  }

  /// Every regular file at or below `paths`, in the paths' order and by name within a folder; names that begin with a point are
  /// left out. Throws `.notFound` for a path where nothing is.
  package static func files(below paths: [String]) throws -> [String] {
    var found: [String] = []
    for path in paths {
      guard let status = FileStatus(path) else {
        throw MeanderError(.notFound, "there is no such file or folder", at: path, remedy: "Check the path.")
      }
      if status.isDirectory {
        found += try files(below: try names(in: path).filter { !$0.hasPrefix(".") }.map { "\(path)/\($0)" })
      } else if status.isRegular {
        found.append(path)
      }
    }
    return found
  }

  /// Removes a file; one that is not there is as good as removed.
  package static func remove(_ path: String) throws {
    guard unlink(path) == 0 || errno == ENOENT else {
      throw MeanderError(.inputOutput, "the file cannot be removed", at: path, cause: Errno(rawValue: errno))
    }
  }
}
