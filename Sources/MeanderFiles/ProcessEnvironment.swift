import Glibc

/// The environment variables of this process.
package enum ProcessEnvironment {
  /// The value of `name`; nil where it is not set.
  package static subscript(name: String) -> String? {
    // Safe: the string is copied before anything could change the environment.
    getenv(name).map { String(cString: $0) }
  }

  /// Those of `names` that are set.
  package static func values(_ names: [String]) -> [String: String] {
    Dictionary(uniqueKeysWithValues: names.compactMap { name in self[name].map { (name, $0) } })
  }
}

extension ModelFiles {
  /// Finds a model with the hub cache where this process's environment says it is; see
  /// `resolve(_:environment:)`.
  package static func resolve(_ nameOrPath: String) throws -> ModelFiles {
    let names = ["HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HOME"]
    return try resolve(nameOrPath, environment: ProcessEnvironment.values(names))
  }
}
