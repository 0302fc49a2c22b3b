import Foundation
import MeanderTestSupport

/// The built program, which stands next to the test bundle.
enum Command {
  static let folder = URL(fileURLWithPath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent()
  static let path = folder.appendingPathComponent("meander").path

  /// Runs `meander` with `arguments` to its end.
  static func run(
    _ arguments: [String], in scratch: Scratch, input: Input = .nothing, environment: [String: String] = [:]
  ) throws -> Finished {
    try start(arguments, in: scratch, input: input, environment: environment).finish()
  }

  /// Runs a shell command in which `meander` is the built program.
  static func shell(_ line: String, in scratch: Scratch, environment: [String: String] = [:]) throws -> Finished {
    try start(["-c", line], of: "/bin/sh", in: scratch, environment: environment).finish()
  }

  static func start(
    _ arguments: [String], of program: String = path, in scratch: Scratch, input: Input = .nothing,
    environment: [String: String] = [:]
  ) throws -> Running {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: program)
    process.arguments = arguments
    process.currentDirectoryURL = scratch.folder
    process.environment = [
      "PATH": folder.path + ":/usr/local/bin:/usr/bin:/bin", "HOME": scratch.folder.path, "COLUMNS": "100",
    ].merging(environment) { $1 }
    var pipe: Pipe?
    switch input {
    case .nothing: process.standardInput = FileHandle(forReadingAtPath: "/dev/null")
    case .file(let name): process.standardInput = FileHandle(forReadingAtPath: scratch.path(name))
    case .bytes(let bytes):
      let name = scratch.unusedName()
      try scratch.write(name, bytes)
      process.standardInput = FileHandle(forReadingAtPath: scratch.path(name))
    case .pipe:
      signal(SIGPIPE, SIG_IGN)
      let fresh = Pipe()
      process.standardInput = fresh
      pipe = fresh
    }
    let names = (scratch.unusedName(), scratch.unusedName())
    for name in [names.0, names.1] { try scratch.write(name, []) }
    process.standardOutput = FileHandle(forWritingAtPath: scratch.path(names.0))
    process.standardError = FileHandle(forWritingAtPath: scratch.path(names.1))
    try process.run()
    return Running(process: process, input: pipe, scratch: scratch, names: names)
  }

  enum Input {
    case nothing
    case bytes([UInt8])
    case file(String)
    /// What the test writes while the program runs.
    case pipe
  }
}

/// A program that runs.
struct Running {
  let process: Process
  let input: Pipe?
  fileprivate let scratch: Scratch
  fileprivate let names: (String, String)

  /// What was printed so far.
  var output: String { String(decoding: scratch.read(names.0), as: UTF8.self) }
  var errors: String { String(decoding: scratch.read(names.1), as: UTF8.self) }

  func write(_ bytes: [UInt8]) throws { try input?.fileHandleForWriting.write(contentsOf: bytes) }
  func closeInput() throws { try input?.fileHandleForWriting.close() }
  func signal(_ number: Int32) { kill(process.processIdentifier, number) }

  /// Waits until `condition` holds; false where it does not within 20 seconds.
  func wait(until condition: () -> Bool) -> Bool {
    for _ in 0..<2000 {
      if condition() { return true }
      usleep(10_000)
    }
    return false
  }

  func finish() throws -> Finished {
    process.waitUntilExit()
    return Finished(
      status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
      bytes: scratch.read(names.0), errors: errors)
  }
}

/// How a program ended and what it printed.
struct Finished {
  let status: Int32
  let wasKilled: Bool
  let bytes: [UInt8]
  let errors: String
  var output: String { String(decoding: bytes, as: UTF8.self) }
  var lines: [String] { output.split(separator: "\n").map(String.init) }

  /// The rows of JSON that were printed.
  func rows() throws -> [[String: Any]] {
    try lines.map { try JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any] ?? [:] }
  }
}

/// A folder of its own for one test, gone when the test ends.
final class Scratch: @unchecked Sendable {
  // Safe: a test uses its folder from one task.
  let folder: URL
  private var next = 0

  init() throws {
    folder = FileManager.default.temporaryDirectory.appendingPathComponent("meander-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(at: folder) }

  func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
  func write(_ name: String, _ bytes: [UInt8]) throws { try Data(bytes).write(to: folder.appendingPathComponent(name)) }
  func read(_ name: String) -> [UInt8] {
    (try? Data(contentsOf: folder.appendingPathComponent(name))).map { Array($0) } ?? []
  }
  func exists(_ name: String) -> Bool { FileManager.default.fileExists(atPath: path(name)) }

  func unusedName() -> String {
    next += 1
    return ".stream\(next)"
  }
}

/// Lines as a log has them, some of them strange, from a seed.
func logLines(_ count: Int, seed: UInt64 = 1) -> [UInt8] {
  var generator = SeededGenerator(seed: seed)
  let verbs = ["install", "configure", "upgrade", "status", "remove"]
  let packages = ["libc6", "bash", "coreutils", "dpkg", "perl-base", "tar", "zlib1g"]
  var text = ""
  for index in 0..<count {
    let hour = String(Int.random(in: 10..<24, using: &generator))
    let verb = verbs.randomElement(using: &generator) ?? ""
    let package = packages.randomElement(using: &generator) ?? ""
    text += "2024-05-\(10 + index % 20) \(hour):00:\(10 + index % 50) \(verb) \(package):amd64 <none> 1.\(index % 7)\n"
    if index % 97 == 60 { text += "kernel: Oops 0000 [#\(index)] zX9$!qqJ vvvv ÿÿ\n" }
  }
  return Array(text.utf8)
}
